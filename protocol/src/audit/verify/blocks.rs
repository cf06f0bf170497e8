//! Where a case's transactions stand: in final blocks, at the places they claim.

use super::head::{Head, check_time};
use crate::audit::bundle::{CaseFile, SealedBlock};
use crate::audit::error::AuditError;
use crate::ids::CaseId;
use crate::units::Height;

/// Checks that a case's blocks are final and ascend, and that its transactions stand in them where they say.
pub(super) fn check_blocks(head: &Head, case: CaseId, file: &CaseFile) -> Result<(), AuditError> {
    let mut last = Height(0);
    let mut number = 0;
    for block in &file.blocks {
        let height = block.header.height;
        if height <= last || height > head.meta.height {
            return Err(AuditError::BlockOrder { case, height });
        }
        last = height;
        head.follower
            .check_header(&block.header, &block.certificate)
            .map_err(|source| AuditError::Block {
                case,
                height,
                source,
            })?;
        check_time(height, block.header.time_ms)?;
        number = check_transactions(case, block, number)?;
    }
    Ok(())
}

/// Checks the transactions of one block; `before` is how many came earlier. How many there are now.
fn check_transactions(
    case: CaseId,
    block: &SealedBlock,
    before: usize,
) -> Result<usize, AuditError> {
    let header = &block.header;
    let height = header.height;
    if block.transactions.is_empty() {
        return Err(AuditError::BlockEmpty { case, height });
    }
    let mut number = before;
    let mut last = None;
    for placed in &block.transactions {
        number = number.saturating_add(1);
        let (transaction, index) = (&placed.transaction, placed.path.index);
        if last.is_some_and(|last| last >= index) {
            return Err(AuditError::Order {
                case,
                number,
                height,
                index,
            });
        }
        last = Some(index);
        placed
            .path
            .verify(transaction.id().as_ref(), &header.tx_root)
            .map_err(|_| AuditError::Place {
                case,
                number,
                height,
                index,
            })?;
        transaction
            .verify()
            .map_err(|_| AuditError::Signature { case, number })?;
        let content = &transaction.content;
        if content.chain != header.chain || content.valid_until_ms < header.time_ms {
            return Err(AuditError::Validity {
                case,
                number,
                height,
            });
        }
    }
    Ok(number)
}
