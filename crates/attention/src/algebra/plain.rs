//! The stages one after another: forward, backward, and along a direction.

use super::arguments::Shared;
use super::check::{Sizes, mixing_needs_one_mask};
use super::logits::{check_positions, first_remembered, simple::bias_of};
use super::mask::{Seen, broadcast};
use super::overflow::{Call, extra};
use super::pattern::{apply, apply_vjp};
use super::score::Reads;
use super::setting::Setting;
use super::trace::Core;
use super::{Arguments, Combination, LogitChange, Trace, Variant, tiled};
use crate::AttentionError;
use crate::error::check_shape;
use crate::kernels::Loops;
use ndarray::{ArcArray, Array3, ArrayRef3, Ix3};

pub(crate) fn forward<F: Loops>(
    variant: &Variant,
    arguments: &Arguments<F>,
    may_tile: bool,
) -> Result<(Array3<F>, Trace<F>), AttentionError> {
    let (sizes, reads) = variant.check(&arguments.q, &arguments.k, &arguments.v)?;
    variant.check_parameters(&sizes, &arguments.parameters)?;
    let arguments = arguments.standard();
    let mut rows = vec![[arguments.q.clone(), arguments.k.clone()]];
    for change in &variant.rows {
        let [q, k] = rows.last().expect("the list is never empty");
        rows.push(change.forward(sizes.offset, &arguments.parameters, [q, k])?.map(Array3::into_shared));
    }
    let last = rows.last().expect("the list is never empty");
    let (core, heads) = match variant.tiled().filter(|_| may_tile) {
        Some(attention) => tiled::forward(variant, attention, last, &arguments)?,
        None => core_forward(variant, &sizes, &reads, last, &arguments)?,
    };
    let (combined, heads) = match variant.combination {
        Combination::Plain => (heads, nothing()),
        _ => (variant.combination.forward(&arguments.parameters, &heads).into_shared(), heads),
    };
    let (mut out, mut outputs) = (combined, Vec::new());
    for change in &variant.output {
        // Writing to a shared array copies it first.
        outputs.push(if change.looks_back() { out.clone() } else { nothing() });
        change.forward(&arguments.parameters, &mut out);
    }
    // A copy only where nothing changed the output, which the trace then shares.
    let out = out.into_owned();
    Ok((out, Trace { variant: variant.clone(), arguments, sizes, reads, rows, core, heads, outputs }))
}

/// Returns an empty array, for an array that no derivative needs.
fn nothing<F: Loops>() -> ArcArray<F, Ix3> {
    Array3::zeros((0, 0, 0)).into_shared()
}

fn seen_by<F: Loops>(variant: &Variant, sizes: &Sizes, arguments: &Shared<F>) -> Seen {
    let bias = variant.logits.contains(&LogitChange::Bias).then(|| bias_of(&arguments.parameters));
    let first = variant.has_gates().then(|| first_remembered(sizes.keys, &arguments.parameters)).flatten();
    let shared = !variant.mask.iter().any(|rule| rule.has_heads())
        && bias.is_none_or(|b| b.dim().0 == 1)
        && first.is_none();
    Seen::new(sizes.heads, sizes.queries, sizes.keys, shared, |h, i, j| {
        let position = i as isize + sizes.offset;
        // A position behind the last key has no gate. That is an error, which is found later.
        let remembers = |first: &Vec<usize>| {
            let at = usize::try_from(position).unwrap_or(0).min(sizes.keys - 1);
            j >= first[h * sizes.keys + at]
        };
        variant.mask.iter().all(|rule| rule.allows(h, i, position, j))
            && bias.is_none_or(|bias| bias[broadcast(&bias, h, i, j)] != F::neg_infinity())
            && first.as_ref().is_none_or(remembers)
    })
}

fn setting<'a>(sizes: &Sizes, seen: &'a Seen) -> Setting<'a> {
    let Sizes { heads, queries, keys, offset, .. } = *sizes;
    Setting { seen, heads, queries, keys, offset }
}

fn core_forward<F: Loops>(
    variant: &Variant,
    sizes: &Sizes,
    reads: &Reads,
    [q, k]: &[ArcArray<F, Ix3>; 2],
    arguments: &Shared<F>,
) -> Result<(Core<F>, ArcArray<F, Ix3>), AttentionError> {
    let parameters = &arguments.parameters;
    let seen = seen_by(variant, sizes, arguments);
    let at = setting(sizes, &seen);
    if variant.mixes_heads() && !seen.same_for_all_heads() {
        mixing_needs_one_mask()?;
    }
    if variant.has_gates() {
        check_positions(&at)?;
    }
    let mut logits = vec![variant.score.forward(&at, reads, F::from_f64(sizes.scale), q, k)];
    for change in &variant.logits {
        logits.push(change.forward(&at, parameters, logits.last().expect("the scores are always there")));
    }
    let z = logits.last().expect("the scores are always there");
    let mut p = Array3::zeros(z.dim());
    let mut weights = Vec::new();
    at.for_each(|h, i, keys| {
        weights.clear();
        weights.extend(keys.iter().map(|&j| z[[h, i, j]]));
        variant.normaliser.forward(&mut weights, extra(variant, sizes, parameters, h));
        keys.iter().zip(&weights).for_each(|(&j, &weight)| p[[h, i, j]] = weight);
    });
    let mut patterns = vec![p];
    for change in &variant.pattern {
        patterns.push(change.forward(&at, parameters, patterns.last().expect("the list is never empty")));
    }
    let mut out = Array3::zeros((sizes.heads, sizes.queries, sizes.value_width));
    apply(&at, reads, patterns.last().expect("the list is never empty"), &arguments.v, &mut out);
    let call = Call { at: &at, reads, rows: [q, k], arguments };
    call.check(variant, sizes, z, &out)?;
    Ok((Core::Plain { seen, logits, patterns }, out.into_shared()))
}

pub(crate) fn backward<F: Loops>(
    trace: &Trace<F>,
    d_out: &ArrayRef3<F>,
) -> Result<Arguments<F>, AttentionError> {
    let Trace { variant, arguments, sizes, reads, rows, core, heads, outputs } = trace;
    let parameters = &arguments.parameters;
    check_shape("d_out", "[h, t, e]", &[sizes.out_heads, sizes.queries, sizes.value_width], d_out.shape())?;
    let mut by_parameters = parameters.zeros_like();
    let into = &mut by_parameters;
    let mut d = d_out.as_standard_layout().into_owned();
    for (change, before) in variant.output.iter().zip(outputs).rev() {
        d = change.vjp(parameters, before, d, into);
    }
    variant.combination.collect(parameters, heads, &d, into);
    let last = rows.last().expect("the list is never empty");
    let (mut d_rows, d_v) = match core {
        Core::Tiled(saved) => tiled::backward(variant, saved, d, parameters, into)?,
        Core::Plain { seen, logits, patterns } => {
            let d = variant.combination.by_heads(parameters, d);
            let at = setting(sizes, seen);
            let (p, before) = patterns.split_last().expect("the list is never empty");
            let (mut d_p, d_v) = apply_vjp(&at, reads, p, &arguments.v, &d);
            for (change, before) in variant.pattern.iter().zip(before).rev() {
                d_p = change.vjp(&at, parameters, before, d_p, into);
            }
            let (z, before) = logits.split_last().expect("the scores are always there");
            let mut d_z = d_p;
            let mut by_extra = vec![F::zero(); sizes.heads];
            let (mut z_row, mut p_row, mut d_row) = (Vec::new(), Vec::new(), Vec::new());
            at.for_each(|h, i, keys| {
                gather(z, h, i, keys, &mut z_row);
                gather(&patterns[0], h, i, keys, &mut p_row);
                gather(&d_z, h, i, keys, &mut d_row);
                let number = extra(variant, sizes, parameters, h);
                by_extra[h] += variant.normaliser.vjp(&z_row, &p_row, &mut d_row, number);
                keys.iter().zip(&d_row).for_each(|(&j, &d)| d_z[[h, i, j]] = d);
            });
            if let Some(name) = variant.normaliser.parameter() {
                into.values_mut(name).iter_mut().zip(by_extra).for_each(|(into, d)| *into += d);
            }
            for (change, before) in variant.logits.iter().zip(before).rev() {
                d_z = change.vjp(&at, parameters, before, d_z, into);
            }
            let scale = F::from_f64(sizes.scale);
            let (d_q, d_k) = variant.score.vjp(&at, reads, scale, &last[0], &last[1], &d_z);
            ([d_q, d_k], d_v)
        }
    };
    for (change, [q, k]) in variant.rows.iter().zip(rows).rev() {
        d_rows = change.vjp(sizes.offset, parameters, [q, k], d_rows, into)?;
    }
    let [q, k] = d_rows;
    Ok(Arguments { q, k, v: d_v, parameters: by_parameters })
}

fn gather<F: Loops>(x: &Array3<F>, h: usize, i: usize, keys: &[usize], into: &mut Vec<F>) {
    into.clear();
    into.extend(keys.iter().map(|&j| x[[h, i, j]]));
}

pub(crate) fn jvp<F: Loops>(trace: &Trace<F>, direction: &Arguments<F>) -> Result<Array3<F>, AttentionError> {
    let Trace { variant, arguments, sizes, reads, rows, core, heads, outputs } = trace;
    arguments.check_direction(direction)?;
    let direction = direction.standard();
    let (parameters, moved) = (&arguments.parameters, &direction.parameters);
    let mut dots = [direction.q.to_owned(), direction.k.to_owned()];
    for (change, [q, k]) in variant.rows.iter().zip(rows) {
        dots = change.jvp(sizes.offset, [parameters, moved], [q, k], dots)?;
    }
    let [q, k] = rows.last().expect("the list is never empty");
    let mut dot = match core {
        Core::Tiled(saved) => tiled::jvp(variant, saved, &dots, &direction.v, moved)?,
        Core::Plain { seen, logits, patterns } => {
            let at = setting(sizes, seen);
            let scale = F::from_f64(sizes.scale);
            let mut dot = variant.score.jvp(&at, reads, scale, [q, k], [&dots[0], &dots[1]]);
            let (z, before) = logits.split_last().expect("the scores are always there");
            for (change, before) in variant.logits.iter().zip(before) {
                dot = change.jvp(&at, parameters, moved, before, dot);
            }
            let mut p_dot = Array3::zeros(z.dim());
            let (mut z_row, mut p_row, mut d_row) = (Vec::new(), Vec::new(), Vec::new());
            at.for_each(|h, i, keys| {
                gather(z, h, i, keys, &mut z_row);
                gather(&patterns[0], h, i, keys, &mut p_row);
                gather(&dot, h, i, keys, &mut d_row);
                let number = extra(variant, sizes, parameters, h);
                let number_dot = variant.normaliser.parameter().map_or(F::zero(), |p| moved.values(p)[h]);
                variant.normaliser.jvp(&z_row, &p_row, &mut d_row, number, number_dot);
                keys.iter().zip(&d_row).for_each(|(&j, &d)| p_dot[[h, i, j]] = d);
            });
            for (change, before) in variant.pattern.iter().zip(patterns) {
                p_dot = change.jvp(&at, [parameters, moved], before, p_dot);
            }
            let mut out = Array3::zeros((sizes.heads, sizes.queries, sizes.value_width));
            apply(&at, reads, &p_dot, &arguments.v, &mut out);
            apply(&at, reads, patterns.last().expect("the list is never empty"), &direction.v, &mut out);
            out
        }
    };
    dot = variant.combination.jvp([parameters, moved], heads, dot);
    for (change, before) in variant.output.iter().zip(outputs) {
        dot = change.jvp([parameters, moved], before, dot);
    }
    Ok(dot)
}
