//! Vectorised functions and noise of the CPU back end against double precision.

use super::{
    super::isa::Isa,
    vector::{self, LANES, Operation},
};
use crate::tensor::{Scalar, philox, scalar_table};

/// Where a function is checked, and its largest error relative to max(|value|, `floor`).
fn domain(scalar: Scalar) -> (f32, f32, f64, f64) {
    match scalar {
        Scalar::Exp => (-87.0, 88.0, 3e-7, 0.0),
        Scalar::ExpM1 => (-20.0, 80.0, 4e-7, 0.0),
        Scalar::Log => (1e-30, 1e30, 3e-7, 0.3),
        Scalar::Log1P => (-0.999, 1e6, 4e-7, 0.0),
        Scalar::Tanh => (-12.0, 12.0, 5e-7, 0.0),
        Scalar::Sigmoid => (-80.0, 80.0, 5e-7, 0.0),
        Scalar::Softplus => (-80.0, 80.0, 5e-7, 0.0),
        Scalar::LogAddExp => (-50.0, 50.0, 3e-7, 1.0),
        // Φ = (1 + erf) / 2 down to −√2, and the slope is 0 near −0.75.
        Scalar::Gelu | Scalar::GeluSlope => (-50.0, 50.0, 5e-7, 0.3),
        Scalar::Sqrt => (0.0, 1e20, 1e-7, 0.0),
        Scalar::LogGamma | Scalar::Digamma => (0.01, 1e4, 3e-7, 0.3),
        Scalar::Trigamma => (0.01, 1e4, 3e-7, 0.0),
        Scalar::Cos | Scalar::Sin => (-30.0, 30.0, 3e-7, 1.0),
        Scalar::LogRatio
        | Scalar::LogFactorialRemainder
        | Scalar::PoissonDivergence
        | Scalar::NegativeBinomial
        | Scalar::NegativeBinomialSlope
        | Scalar::Gamma
        | Scalar::GammaSlope => (1e-3, 1e8, 1e-7, 0.0),
        Scalar::Beta | Scalar::BetaSlopeByAlpha | Scalar::BetaSlopeByBeta => {
            (1e-6, 0.999_999, 1e-7, 0.0)
        }
        _ => (-50.0, 50.0, 1e-7, 0.0),
    }
}

#[test]
fn every_operation_matches_double_precision() {
    for row in scalar_table() {
        let (least, most, tolerance, floor) = domain(row.scalar);
        let count = 20_000;
        let along = |i: usize| i as f32 / (count - 1) as f32;
        let spread = least > 0.0;
        let x: Vec<f32> = (0..count)
            .map(|i| {
                if spread {
                    least * (most / least).powf(along(i))
                } else {
                    least + (most - least) * along(i)
                }
            })
            .collect();
        let y: Vec<f32> = (0..count)
            .map(|i| ((i * 7919 % count) as f32 / count as f32 - 0.5) * 9.0)
            .collect();
        let z: Vec<f32> = (0..count)
            .map(|i| ((i * 104_729 % count) as f32 / count as f32 - 0.5) * 3.0)
            .collect();
        let operands = [&x, &y, &z];
        for isa in Isa::all() {
            let apply = |in_place: Option<usize>| {
                let mut out =
                    in_place.map_or_else(|| vec![0.0; count], |operand| operands[operand].clone());
                let absent = |operand: usize| operand >= row.arity || in_place == Some(operand);
                let [x, y, z] = [0, 1, 2].map(|operand| {
                    if absent(operand) {
                        &[][..]
                    } else {
                        operands[operand]
                    }
                });
                Operation::new(isa, row.scalar, in_place).apply(&mut out, x, y, z);
                out
            };
            let out = apply(None);
            for operand in 0..row.arity {
                assert_eq!(
                    apply(Some(operand)),
                    out,
                    "{} {isa:?} in the place of operand {operand}",
                    row.name
                );
            }
            for i in 0..count {
                let inputs = [f64::from(x[i]), f64::from(y[i]), f64::from(z[i])];
                let wanted = (row.eval)(&inputs[..row.arity]);
                let error = (f64::from(out[i]) - wanted).abs();
                let bound = tolerance * wanted.abs().max(floor) + 2e-38;
                let same = f64::from(out[i]) == wanted;
                assert!(
                    same || error <= bound,
                    "{} {isa:?} at {inputs:?}: {} instead of {wanted}",
                    row.name,
                    out[i]
                );
            }
        }
    }
}

#[test]
fn extremes_are_right() {
    let apply = |isa, scalar, x: f32| {
        let mut out = [0.0];
        Operation::new(isa, scalar, None).apply(&mut out, &[x], &[], &[]);
        out[0]
    };
    for isa in Isa::all() {
        assert_eq!(apply(isa, Scalar::Exp, f32::NEG_INFINITY), 0.0);
        assert_eq!(apply(isa, Scalar::Exp, f32::INFINITY), f32::INFINITY);
        assert_eq!(apply(isa, Scalar::Exp, 89.0), f32::INFINITY);
        assert!(apply(isa, Scalar::Exp, -100.0) > 0.0);
        assert_eq!(apply(isa, Scalar::Log, 0.0), f32::NEG_INFINITY);
        assert_eq!(apply(isa, Scalar::Log, f32::INFINITY), f32::INFINITY);
        assert!(apply(isa, Scalar::Log, -1.0).is_nan());
        assert!((apply(isa, Scalar::Log, 1e-40) + 92.1034).abs() < 1e-3);
        assert_eq!(apply(isa, Scalar::Softplus, 1e30), 1e30);
        assert!((apply(isa, Scalar::Softplus, -80.0) / (-80.0f32).exp() - 1.0).abs() < 1e-5);
        assert_eq!(apply(isa, Scalar::Sigmoid, -1e30), 0.0);
        assert_eq!(apply(isa, Scalar::Sigmoid, 1e30), 1.0);
        assert_eq!(apply(isa, Scalar::Tanh, 1e30), 1.0);
        assert_eq!(apply(isa, Scalar::Gelu, f32::NEG_INFINITY), 0.0);
        assert_eq!(apply(isa, Scalar::Gelu, f32::INFINITY), f32::INFINITY);
        assert_eq!(apply(isa, Scalar::GeluSlope, f32::NEG_INFINITY), 0.0);
        assert_eq!(apply(isa, Scalar::GeluSlope, f32::INFINITY), 1.0);
        let through = [
            Scalar::Exp,
            Scalar::Log,
            Scalar::Softplus,
            Scalar::Sigmoid,
            Scalar::Tanh,
            Scalar::Relu,
            Scalar::Gelu,
            Scalar::GeluSlope,
            Scalar::Neg,
        ];
        through.iter().for_each(|&scalar| {
            assert!(
                apply(isa, scalar, f32::NAN).is_nan(),
                "{scalar:?} hides a NaN"
            )
        });
    }
}

#[test]
fn reductions_match_double_precision() {
    for isa in Isa::all() {
        for count in [0, 1, 15, 16, 17, 100, 1000] {
            let x: Vec<f32> = (0..count)
                .map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.1)
                .collect();
            let sum: f64 = x.iter().map(|&x| f64::from(x)).sum();
            assert!((f64::from(sum_of(isa, &x)) - sum).abs() < 1e-3);
            let greatest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(max_of(isa, &x), greatest);
        }
        assert!(
            max_of(isa, &[1.0, f32::NAN, 2.0]).is_nan() || sum_of(isa, &[1.0, f32::NAN]).is_nan()
        );
    }
}

fn sum_of(isa: Isa, x: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    vector::sum(isa, &mut lanes, x);
    vector::sum_of(lanes)
}

fn max_of(isa: Isa, x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    vector::max(isa, &mut lanes, x);
    vector::max_of(lanes)
}

/// The answers that Random123 publishes for Philox4x32-10.
#[test]
fn philox_gives_the_published_answers() {
    assert_eq!(
        philox::block([0; 4], [0; 2]),
        [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]
    );
    assert_eq!(
        philox::block([!0; 4], [!0; 2]),
        [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]
    );
    let (counter, key) = (
        [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
        [0xa4093822, 0x299f31d0],
    );
    assert_eq!(
        philox::block(counter, key),
        [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]
    );
}

#[test]
fn noise_matches_its_definition_wherever_it_begins() {
    let (seed, step, stream) = (0x1234_5678_9ABC, 77, philox::stream("unlabelled.z"));
    for isa in Isa::all() {
        let mut whole = vec![0.0; 1000];
        vector::normal(isa, seed, step, stream, 0, &mut whole);
        for (element, &found) in whole.iter().enumerate() {
            let wanted = philox::normal(seed, step, stream, element as u64);
            assert!(
                (f64::from(found) - wanted).abs() < 4e-6 * wanted.abs().max(1.0),
                "{isa:?} {element}: {found}, {wanted}"
            );
        }
        for (first, count) in [(1, 5), (3, 64), (64, 64), (130, 700), (999, 1)] {
            let mut part = vec![0.0; count];
            vector::normal(isa, seed, step, stream, first as u64, &mut part);
            assert_eq!(
                part,
                whole[first..first + count],
                "{isa:?}: a part from {first} on"
            );
            let mut uniform = vec![0.0; count];
            vector::uniform(isa, seed, step, stream, first as u64, &mut uniform);
            for (element, &found) in uniform.iter().enumerate() {
                assert_eq!(
                    f64::from(found),
                    philox::uniform(seed, step, stream, (first + element) as u64)
                );
                assert!(found > 0.0 && found < 1.0);
            }
        }
    }
}

#[test]
fn bf16_is_rounded_to_nearest() {
    // Every upper half, with lower halves around the ties.
    let lower = [0u32, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
    let bits = (0..=0xffff_u32).flat_map(|upper| lower.map(|lower| upper << 16 | lower));
    let x: Vec<f32> = bits.map(f32::from_bits).collect();
    let (mut rounded, mut widened) = (vec![0; x.len()], vec![0.0; x.len()]);
    for isa in Isa::all() {
        vector::round(isa, &mut rounded, &x);
        vector::widen(isa, &mut widened, &rounded);
        for ((&x, &rounded), &widened) in x.iter().zip(&rounded).zip(&widened) {
            let wanted = half::bf16::from_f32(x);
            assert_eq!(rounded, wanted.to_bits(), "{isa:?}: {x}");
            assert_eq!(widened.to_bits(), wanted.to_f32().to_bits(), "{isa:?}: {x}");
        }
    }
}

#[test]
fn noise_has_its_moments() {
    let mut x = vec![0.0; 400_000];
    vector::normal(Isa::detect(), 5, 6, 7, 0, &mut x);
    let moment =
        |power: i32| x.iter().map(|&x| f64::from(x).powi(power)).sum::<f64>() / x.len() as f64;
    for (power, wanted, tolerance) in [
        (1, 0.0, 0.01),
        (2, 1.0, 0.015),
        (3, 0.0, 0.03),
        (4, 3.0, 0.1),
    ] {
        assert!(
            (moment(power) - wanted).abs() < tolerance,
            "moment {power} is {}",
            moment(power)
        );
    }
    let pairs: f64 = x
        .chunks_exact(2)
        .map(|pair| f64::from(pair[0] * pair[1]))
        .sum::<f64>()
        / 200_000.0;
    assert!(pairs.abs() < 0.01, "neighbours correlate: {pairs}");
}
