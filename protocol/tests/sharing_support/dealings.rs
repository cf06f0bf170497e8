//! What holds for every kind of dealing: complaints, envelopes, encodings.

use super::*;
use kithkin_protocol::crypto::{OpeningKey, Sealed, SealingKey};
use kithkin_protocol::wire;

/// What the sub-shares are of.
pub(crate) fn context() -> ShareContext {
    ShareContext {
        patient: PatientId([2; 32]),
        tier: Tier::Chart,
        epoch: Epoch(1),
    }
}

pub(crate) fn bad(dealer: u8, recipient: u8, fault: SubShareFault) -> BadSubShare {
    BadSubShare {
        dealer: index(dealer),
        recipient: index(recipient),
        fault,
    }
}

/// The sub-share that was published as `value`; it has to be a good one.
pub(crate) fn cleared(dealing: &impl Dealing, value: &PublishedShare) -> SubShare {
    match dealing.judge(value.recipient, Some(value)) {
        Verdict::Cleared(sub_share) => sub_share,
        Verdict::Named(fault) => panic!("{fault}"),
    }
}

/// Copies: sub-shares have no `Clone`. Each belongs to one of `dealings`.
pub(crate) fn copies<'a, D: Dealing>(
    dealings: &[D],
    sub_shares: impl IntoIterator<Item = &'a SubShare>,
) -> Vec<SubShare> {
    let copy = |sub_share: &SubShare| {
        let mut all = dealings.iter();
        let own = all.find(|dealing| dealing.dealer() == sub_share.dealer());
        cleared(own.expect("its dealing"), &sub_share.publish())
    };
    sub_shares.into_iter().map(copy).collect()
}

/// What each of `dealers` deals for a refresh, and all zero-shares together.
pub(crate) fn zero_dealings(
    threshold: Threshold,
    dealers: &[u8],
    rng: &mut ChaCha20Rng,
) -> (Vec<ZeroDealing>, Vec<SubShare>) {
    together(
        dealers
            .iter()
            .map(|&dealer| ZeroDealing::deal(index(dealer), threshold, rng)),
    )
}

/// What the holders of `shares` deal to the roster of `threshold`, and all sub-shares together.
pub(crate) fn resharing_dealings<'a>(
    shares: impl IntoIterator<Item = &'a Share>,
    threshold: Threshold,
    rng: &mut ChaCha20Rng,
) -> (Vec<ResharingDealing>, Vec<SubShare>) {
    let shares = shares.into_iter();
    together(shares.map(|share| ResharingDealing::deal(share, threshold, rng)))
}

fn together<D>(
    dealt: impl Iterator<Item = Result<(D, Vec<SubShare>), SharingError>>,
) -> (Vec<D>, Vec<SubShare>) {
    let (dealings, sub_shares): (Vec<D>, Vec<Vec<SubShare>>) =
        dealt.map(|dealt| dealt.expect("dealt")).unzip();
    (dealings, sub_shares.into_iter().flatten().collect())
}

/// For every sub-share in `good`, of one of `dealings`: publishing it clears the dealer; publishing the one in `wrong`,
/// nothing, the answer to another complaint or no scalar names it.
pub(crate) fn assert_complaints_are_judged<D: Dealing>(
    dealings: &[D],
    good: &[SubShare],
    wrong: &[SubShare],
) {
    assert_eq!(good.len(), wrong.len());
    for (sub_share, wrong) in good.iter().zip(wrong) {
        let (dealer, recipient) = (sub_share.dealer(), sub_share.recipient());
        let dealing = dealings.iter().find(|d| d.dealer() == dealer);
        let dealing = dealing.expect("its dealing");
        let answer = sub_share.publish();
        assert_eq!((answer.dealer, answer.recipient), (dealer, recipient));
        let frame = wire::encode(&answer);
        assert_eq!(wire::decode::<PublishedShare>(&frame), Ok(answer));
        assert_eq!(cleared(dealing, &answer).publish(), answer);
        let assert_named = |answer: Option<&PublishedShare>, fault| {
            let expected = bad(dealer.get(), recipient.get(), fault);
            match dealing.judge(recipient, answer) {
                Verdict::Named(fault) => assert_eq!(fault, expected),
                Verdict::Cleared(sub_share) => panic!("{sub_share:?} is good"),
            }
        };
        assert_named(Some(&wrong.publish()), SubShareFault::Value);
        assert_named(None, SubShareFault::Missing);
        for other in good.iter().map(SubShare::publish).filter(|o| *o != answer) {
            assert_named(Some(&other), SubShareFault::Missing);
        }
        for value in bad_scalars() {
            let answer = PublishedShare { value, ..answer };
            assert_named(Some(&answer), SubShareFault::Encoding);
        }
    }
}

/// An envelope with a sub-share of the first of `dealings` opens for its recipient, in its context and for its purpose;
/// what opens and is bad is a reason to complain.
pub(crate) fn assert_envelopes_serve_one_purpose<D: Dealing>(
    dealings: [&D; 2],
    sub_share: &SubShare,
    wrong: &SubShare,
    rng: &mut ChaCha20Rng,
) {
    let [own, other_dealing] = dealings;
    let (dealer, recipient) = (sub_share.dealer().get(), sub_share.recipient().get());
    assert_eq!(own.dealer().get(), dealer);
    let (mine, stranger) = (OpeningKey::random(rng), OpeningKey::random(rng));
    let seal = |sub_share: &SubShare, key: &SealingKey, rng: &mut ChaCha20Rng| {
        own.seal(sub_share, &context(), key, rng)
    };
    let sealed = seal(sub_share, &mine.sealing_key(), rng).expect("a good key");
    let open = |dealing: &D, key, recipient, context| {
        let opened = dealing.open(&sealed, key, index(recipient), &context);
        opened.map(|sub_share| sub_share.publish())
    };
    let refused = |dealer, recipient| Err(bad(dealer, recipient, SubShareFault::Unsealable));
    let good = Ok(sub_share.publish());
    assert_eq!(open(own, &mine, recipient, context()), good);
    assert_eq!(
        open(own, &stranger, recipient, context()),
        refused(dealer, recipient)
    );
    let next = recipient + 1;
    assert_eq!(open(own, &mine, next, context()), refused(dealer, next));
    let other = other_dealing.dealer().get();
    assert_eq!(
        open(other_dealing, &mine, recipient, context()),
        refused(other, recipient)
    );
    let (mut epoch, mut tier, mut patient) = (context(), context(), context());
    epoch.epoch = Epoch(2);
    tier.tier = Tier::Summary;
    patient.patient = PatientId([9; 32]);
    for elsewhere in [epoch, tier, patient] {
        let opened = open(own, &mine, recipient, elsewhere);
        assert_eq!(opened, refused(dealer, recipient));
    }
    let open = |sealed: &Sealed| own.open(sealed, &mine, index(recipient), &context()).err();
    for (_, ciphertext) in bit_flips(&sealed.ciphertext) {
        let changed = Sealed {
            ciphertext,
            ..sealed.clone()
        };
        let refused = bad(dealer, recipient, SubShareFault::Unsealable);
        assert_eq!(open(&changed), Some(refused));
    }
    let sealed = seal(wrong, &mine.sealing_key(), rng).expect("a good key");
    let refused = bad(dealer, recipient, SubShareFault::Value);
    assert_eq!(open(&sealed), Some(refused));
    // Sealed well, but no scalar.
    let info = own.info(index(recipient), &context());
    let mut contents: Vec<Vec<u8>> = bad_scalars().map(|value| value.0.to_vec()).collect();
    contents.extend([vec![], vec![1; 31], vec![0; 33]]);
    for content in contents {
        let sealed = mine.sealing_key().seal(info.as_ref(), &content, rng);
        let refused = bad(dealer, recipient, SubShareFault::Encoding);
        assert_eq!(open(&sealed.expect("sealed")), Some(refused));
    }
    let refused = bad(dealer, recipient, SubShareFault::Recipient);
    let weak = SealingKey([0; 32]);
    assert_eq!(seal(sub_share, &weak, rng).err(), Some(refused));
}

/// A dealer and commitments as they stand in a frame, good or bad.
pub(crate) fn raw_dealing(dealer: u8, points: &[PointBytes]) -> Vec<u8> {
    let bytes: Vec<u8> = points.iter().flat_map(|p| p.0).collect();
    wire::encode(&(dealer, serde_bytes::ByteBuf::from(bytes)))
}

/// A frame with these commitments decodes to `dealing`, and none with a bad one, another number than `counts`' ends
/// allow, or dealer 0 decodes.
pub(crate) fn assert_dealings_are_decoded_strictly<D>(
    dealing: &D,
    points: &[PointBytes],
    counts: core::ops::RangeInclusive<usize>,
) where
    D: Dealing + serde::Serialize + serde::de::DeserializeOwned + PartialEq + core::fmt::Debug,
{
    let dealer = dealing.dealer().get();
    let frame = wire::encode(dealing);
    assert_eq!(frame, raw_dealing(dealer, points));
    assert_eq!(wire::decode::<D>(&frame).as_ref(), Ok(dealing));
    assert!(wire::decode::<D>(&raw_dealing(0, points)).is_err());
    for position in 0..points.len() {
        for bytes in bad_points() {
            let mut bad = points.to_vec();
            bad[position] = bytes;
            assert!(wire::decode::<D>(&raw_dealing(dealer, &bad)).is_err());
        }
    }
    for (count, possible) in [
        (0, false),
        (*counts.start() - 1, false),
        (*counts.start(), true),
        (*counts.end(), true),
        (*counts.end() + 1, false),
    ] {
        let frame = raw_dealing(dealer, &vec![points[0]; count]);
        assert_eq!(wire::decode::<D>(&frame).is_ok(), possible, "{count}");
    }
    let ragged = wire::encode(&(dealer, serde_bytes::ByteBuf::from(vec![1; 65])));
    assert!(wire::decode::<D>(&ragged).is_err());
}
