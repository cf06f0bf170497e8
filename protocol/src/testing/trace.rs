//! A sequence diagram in text: one column per node, one line per event.

use crate::consensus::{Message, Output, Recall, VoteKind, WalEntry};
use crate::ids::BlockId;
use std::collections::VecDeque;

/// Most lines that are kept, the last ones.
const LINES_MAX: usize = 20_000;
/// Width of one node's column.
const COLUMN: usize = 7;

/// The last lines of the account.
#[derive(Debug, Default)]
pub(super) struct Trace {
    lines: VecDeque<String>,
}

impl Trace {
    /// Something that happens at one node.
    pub(super) fn at(&mut self, ms: u64, node: usize, nodes: usize, what: &str) {
        let mut lanes = lanes(nodes);
        lanes[node * COLUMN] = '*';
        self.line(ms, &lanes, what);
    }

    /// A message that arrives.
    pub(super) fn arrow(&mut self, ms: u64, from: usize, to: usize, nodes: usize, what: &str) {
        let mut lanes = lanes(nodes);
        let (low, high) = (from.min(to), from.max(to));
        for lane in &mut lanes[low * COLUMN + 1..high * COLUMN] {
            *lane = '-';
        }
        lanes[from * COLUMN] = 'o';
        lanes[to * COLUMN] = if from < to { '>' } else { '<' };
        self.line(ms, &lanes, what);
    }

    fn line(&mut self, ms: u64, lanes: &[char], what: &str) {
        if self.lines.len() >= LINES_MAX {
            self.lines.pop_front();
        }
        let lanes: String = lanes.iter().collect();
        self.lines.push_back(format!("{ms:>8}  {lanes}  {what}"));
    }

    /// The whole diagram.
    pub(super) fn text(&self, nodes: usize) -> String {
        let names: String = (0..nodes)
            .map(|node| format!("{:<COLUMN$}", format!("v{node}")))
            .collect();
        let mut text = format!("{:>8}  {names}  what\n", "ms");
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

fn lanes(nodes: usize) -> Vec<char> {
    let mut lanes = vec![' '; nodes * COLUMN];
    for node in 0..nodes {
        lanes[node * COLUMN] = '|';
    }
    lanes
}

fn short(id: BlockId) -> String {
    if id == BlockId::NONE {
        "-".to_owned()
    } else {
        id.0.iter()
            .take(3)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

fn letters(kind: VoteKind) -> &'static str {
    match kind {
        VoteKind::Notarize => "NOT",
        VoteKind::Nullify => "NUL",
        VoteKind::Finalize => "FIN",
    }
}

/// A message in a few words.
pub(super) fn describe(message: &Message) -> String {
    match message {
        Message::Proposal(proposal) => format!(
            "Proposal {}/{} {} base {:?} nulls {}",
            proposal.height,
            proposal.view,
            short(proposal.block.id()),
            proposal.justification.base.as_ref().map(|cert| cert.view.0),
            proposal.justification.nullifications.len(),
        ),
        Message::Ballots(ballots) => {
            let votes: Vec<_> = ballots
                .iter()
                .map(|ballot| {
                    let vote = &ballot.vote;
                    let (height, view) = (vote.height, vote.view);
                    format!("{} {height}/{view} {}", letters(vote.kind), short(vote.id))
                })
                .collect();
            votes.join(", ")
        }
        Message::NewView(new_view) => format!(
            "NewView {}/{} base {:?} nulls {:?}",
            new_view.height,
            new_view.view,
            new_view.justification.base.as_ref().map(|cert| cert.view.0),
            new_view
                .justification
                .nullifications
                .iter()
                .map(|cert| cert.view.0)
                .collect::<Vec<_>>(),
        ),
        Message::GetCommitted { from, count } => format!("GetCommitted {from} +{count}"),
        Message::Committed(finalized) => format!(
            "Committed {:?}",
            finalized
                .iter()
                .map(|finalized| finalized.block.header.height.0)
                .collect::<Vec<_>>()
        ),
        Message::NoBlocks { from, first } => format!("NoBlocks {from}..{first}"),
        Message::GetBody { height, id } => format!("GetBody {height} {}", short(*id)),
        Message::Body(block) => format!("Body {}", short(block.id())),
        Message::Recall(recall) => format!("{recall:?}"),
        Message::Hearsay(hearsay) => format!(
            "Hearsay on {} of {:?}",
            hearsay.height,
            hearsay
                .votes
                .iter()
                .map(|vote| vote.signer.0)
                .chain(hearsay.proposals.iter().map(|signed| signed.leader.0))
                .collect::<Vec<_>>()
        ),
        Message::Evidence(evidence) => {
            format!(
                "Evidence against {} at {}",
                evidence.accused(),
                evidence.height()
            )
        }
    }
}

/// What a node does, as far as it is worth a line.
pub(super) fn describe_output(output: &Output) -> Option<String> {
    Some(match output {
        Output::Persist(WalEntry::View { height, view, base }) => {
            format!("enters {height}/{view} base {:?}", base.map(|base| base.0))
        }
        Output::Persist(WalEntry::Vote(vote)) => format!(
            "signs {} {}/{} {}",
            letters(vote.kind),
            vote.height,
            vote.view,
            short(vote.id)
        ),
        Output::Commit {
            block,
            id,
            certificate,
            ..
        } => format!(
            "COMMITS {} {} finalized in view {}, transactions {:?}",
            block.header.height,
            short(*id),
            certificate.view,
            block
                .transactions
                .iter()
                .map(|tx| tx.content.sequence.0)
                .collect::<Vec<_>>()
        ),
        Output::Accuse(evidence) => format!("accuses {}", evidence.accused()),
        Output::Note(note) => format!("{note:?}"),
        Output::Persist(_)
        | Output::Broadcast(_)
        | Output::Send { .. }
        | Output::SendCommitted { .. }
        | Output::SetTimer { .. }
        | Output::Build { .. } => return None,
    })
}

/// A message as a number, for the log of events: what it is about, not its signatures.
pub(super) fn fingerprint(message: &Message) -> u64 {
    use crate::testing::dice::mix;
    let id = |id: BlockId| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&id.0[..8]);
        u64::from_be_bytes(bytes)
    };
    let fold =
        |tag: u64, numbers: &[u64]| numbers.iter().fold(tag, |all, &number| mix(all ^ number));
    match message {
        Message::Proposal(proposal) => fold(
            1,
            &[proposal.height.0, proposal.view.0, id(proposal.block.id())],
        ),
        Message::Ballots(ballots) => ballots.iter().fold(2, |all, ballot| {
            let vote = &ballot.vote;
            fold(
                all,
                &[vote.kind as u64, vote.height.0, vote.view.0, id(vote.id)],
            )
        }),
        Message::NewView(new_view) => fold(
            3,
            &[
                new_view.height.0,
                new_view.view.0,
                new_view.justification.nullifications.len() as u64,
                new_view
                    .justification
                    .base
                    .as_ref()
                    .map_or(0, |cert| cert.view.0),
            ],
        ),
        Message::GetCommitted { from, count } => fold(4, &[from.0, u64::from(*count)]),
        Message::Committed(finalized) => finalized
            .iter()
            .fold(5, |all, finalized| fold(all, &[id(finalized.block.id())])),
        Message::NoBlocks { from, first } => fold(11, &[from.0, first.0]),
        Message::GetBody { height, id: wanted } => fold(6, &[height.0, id(*wanted)]),
        Message::Body(block) => fold(7, &[id(block.id())]),
        Message::Recall(Recall::Ask { nonce }) => fold(9, &[*nonce]),
        Message::Recall(Recall::Answer { nonce, head, votes }) => {
            fold(10, &[*nonce, head.0, votes.len() as u64])
        }
        Message::Hearsay(hearsay) => fold(
            11,
            &[
                hearsay.height.0,
                hearsay.votes.len() as u64,
                hearsay.proposals.len() as u64,
            ],
        ),
        Message::Evidence(evidence) => fold(
            8,
            &[
                u64::from(evidence.accused().0),
                evidence.height().0,
                evidence.view().0,
            ],
        ),
    }
}
