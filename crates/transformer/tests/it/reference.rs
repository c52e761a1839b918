//! A Llama agrees with a plain Llama in f64 that is written from the equations.

use crate::gguf::ModelFile;
use collimate_stream::RngStream;
use collimate_transformer::{Capture, Run, Site};
use ndarray::{Array1, Array2, ArrayD, Axis, Ix2, s};

/// The sizes and constants of a Llama.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sizes {
    pub(crate) n_layers: usize,
    pub(crate) d_model: usize,
    pub(crate) n_heads: usize,
    pub(crate) n_key_heads: usize,
    pub(crate) d_head: usize,
    pub(crate) d_ff: usize,
    pub(crate) n_vocab: usize,
    pub(crate) context: usize,
    pub(crate) rotary_base: f64,
    pub(crate) norm_epsilon: f64,
}

/// The sizes of `Description::small`.
pub(crate) const SMALL: Sizes = Sizes {
    n_layers: 3,
    d_model: 32,
    n_heads: 4,
    n_key_heads: 2,
    d_head: 8,
    d_ff: 48,
    n_vocab: 61,
    context: 96,
    rotary_base: 10_000.0,
    norm_epsilon: 1e-5,
};

/// All weights as in a file: matrices are `[outputs, inputs]`.
pub(crate) struct Weights(Vec<(String, ArrayD<f32>)>);

impl Weights {
    pub(crate) fn random(c: &Sizes, stream: &mut RngStream) -> Self {
        let mut list = Vec::new();
        let mut add = |name: String, shape: &[usize]| {
            let gain = shape.len() == 1;
            let deviation = if gain { 0.2 } else { (shape[1] as f64).powf(-0.5) };
            let mean = if gain { 1.0 } else { 0.0 };
            let draw = || (mean + deviation * stream.normal()) as f32;
            list.push((name, ArrayD::from_shape_simple_fn(shape, draw)));
        };
        let (d, q, k) = (c.d_model, c.n_heads * c.d_head, c.n_key_heads * c.d_head);
        add("token_embd.weight".into(), &[c.n_vocab, d]);
        add("output_norm.weight".into(), &[d]);
        for layer in 0..c.n_layers {
            for (name, shape) in [
                ("attn_norm", vec![d]),
                ("attn_q", vec![q, d]),
                ("attn_k", vec![k, d]),
                ("attn_v", vec![k, d]),
                ("attn_output", vec![d, q]),
                ("ffn_norm", vec![d]),
                ("ffn_gate", vec![c.d_ff, d]),
                ("ffn_up", vec![c.d_ff, d]),
                ("ffn_down", vec![d, c.d_ff]),
            ] {
                add(format!("blk.{layer}.{name}.weight"), &shape);
            }
        }
        Self(list)
    }

    pub(crate) fn tensors(&self) -> Vec<(String, ArrayD<f32>)> {
        self.0.clone()
    }

    fn get(&self, name: &str) -> ArrayD<f64> {
        let entry = self.0.iter().find(|(n, _)| n == &format!("{name}.weight")).unwrap();
        entry.1.mapv(f64::from)
    }

    fn matrix(&self, name: &str) -> Array2<f64> {
        self.get(name).into_dimensionality::<Ix2>().unwrap()
    }
}

fn norm(x: &Array2<f64>, gain: &ArrayD<f64>, epsilon: f64) -> Array2<f64> {
    let scale: Array1<f64> =
        x.rows().into_iter().map(|row| (row.dot(&row) / row.len() as f64 + epsilon).powf(-0.5)).collect();
    x * &scale.insert_axis(Axis(1)) * gain.view().into_dimensionality::<ndarray::Ix1>().unwrap()
}

/// Rotates the neighbouring pairs in the rows of one head.
fn turn(x: &mut ndarray::ArrayViewMut2<'_, f64>, base: f64) {
    let width = x.ncols();
    for (position, mut row) in x.rows_mut().into_iter().enumerate() {
        for pair in 0..width / 2 {
            let angle = position as f64 * base.powf(-2.0 * pair as f64 / width as f64);
            let (a, b) = (row[2 * pair], row[2 * pair + 1]);
            row[2 * pair] = a * angle.cos() - b * angle.sin();
            row[2 * pair + 1] = a * angle.sin() + b * angle.cos();
        }
    }
}

/// Computes the logits, and the residual stream in front of each layer and of the final norm.
fn forward(c: &Sizes, w: &Weights, tokens: &[u32]) -> (Array2<f64>, Vec<Array2<f64>>) {
    let embedding = w.matrix("token_embd");
    let rows: Vec<usize> = tokens.iter().map(|&id| id as usize).collect();
    let mut x = embedding.select(Axis(0), &rows);
    let mut residuals = vec![x.clone()];
    for layer in 0..c.n_layers {
        let part = |name: &str| w.matrix(&format!("blk.{layer}.{name}"));
        let n = norm(&x, &w.get(&format!("blk.{layer}.attn_norm")), c.norm_epsilon);
        let (mut q, mut k) = (n.dot(&part("attn_q").t()), n.dot(&part("attn_k").t()));
        let v = n.dot(&part("attn_v").t());
        let mut z = Array2::zeros((tokens.len(), c.n_heads * c.d_head));
        for head in 0..c.n_heads {
            let group = head / (c.n_heads / c.n_key_heads);
            let (h, g) = (
                s![.., head * c.d_head..(head + 1) * c.d_head],
                s![.., group * c.d_head..(group + 1) * c.d_head],
            );
            if head % (c.n_heads / c.n_key_heads) == 0 {
                turn(&mut k.slice_mut(g), c.rotary_base);
            }
            turn(&mut q.slice_mut(h), c.rotary_base);
            let scores = q.slice(h).dot(&k.slice(g).t()) / (c.d_head as f64).sqrt();
            for t in 0..tokens.len() {
                let weights = scores.slice(s![t, ..=t]).mapv(f64::exp);
                let mixed = weights.dot(&v.slice(g).slice(s![..=t, ..])) / weights.sum();
                z.slice_mut(h).row_mut(t).assign(&mixed);
            }
        }
        x = x + z.dot(&part("attn_output").t());
        let n = norm(&x, &w.get(&format!("blk.{layer}.ffn_norm")), c.norm_epsilon);
        let gate = n.dot(&part("ffn_gate").t()).mapv(|g| g / (1.0 + (-g).exp()));
        x = x + (gate * n.dot(&part("ffn_up").t())).dot(&part("ffn_down").t());
        residuals.push(x.clone());
    }
    (norm(&x, &w.get("output_norm"), c.norm_epsilon).dot(&embedding.t()), residuals)
}

#[test]
fn a_llama_agrees_with_the_equations() {
    let wide = Sizes { d_ff: 256, n_heads: 6, n_key_heads: 3, d_model: 48, ..SMALL };
    let narrow = Sizes { n_layers: 1, n_heads: 1, n_key_heads: 1, d_head: 2, d_model: 3, d_ff: 5, ..SMALL };
    for (seed, c) in [SMALL, wide, narrow].into_iter().enumerate() {
        let mut stream = RngStream::new(seed as u64, 7);
        let weights = Weights::random(&c, &mut stream);
        let mut file = ModelFile::of(&c, &weights);
        if c.d_head * c.n_heads != c.d_model {
            file.set("llama.attention.key_length", (4, (c.d_head as u32).to_le_bytes().to_vec()));
        }
        let model = file.model().unwrap();
        for t in [1, 2, 17, 70] {
            let tokens: Vec<u32> = (0..t).map(|_| stream.below(c.n_vocab) as u32).collect();
            let (logits, residuals) = forward(&c, &weights, &tokens);
            let mut capture = Capture::at((0..c.n_layers).map(|layer| Site::ResidualPre.of_layer(layer)));
            let ours = model.logits(Run::of(&tokens), &mut capture).unwrap();
            for (layer, residual) in residuals[..c.n_layers].iter().enumerate() {
                let ours = capture.get(Site::ResidualPre.of_layer(layer)).unwrap();
                assert!(ours.iter().zip(residual).all(|(a, b)| (f64::from(*a) - b).abs() < 2e-5));
            }
            assert!(ours.iter().zip(&logits).all(|(a, b)| (f64::from(*a) - b).abs() < 2e-4), "{c:?} {t}");
            let losses = model.losses(Run::of(&tokens), &mut ()).unwrap().remove(0);
            assert_eq!((losses.log_sum_exp.len(), losses.nll.len()), (t, t - 1));
            for (i, row) in logits.rows().into_iter().enumerate() {
                let log_sum_exp = row.mapv(f64::exp).sum().ln();
                assert!((losses.log_sum_exp[i] - log_sum_exp).abs() < 2e-5);
                if i + 1 < t {
                    let nll = log_sum_exp - row[tokens[i + 1] as usize];
                    assert!((losses.nll[i] - nll).abs() < 5e-5, "{} instead of {nll}", losses.nll[i]);
                }
            }
            let last = model.last_logits(Run::of(&tokens), &mut ()).unwrap();
            assert!(last.iter().zip(logits.row(t - 1)).all(|(a, b)| (f64::from(*a) - b).abs() < 2e-4));
        }
    }
}

#[test]
fn a_vocabulary_of_several_blocks_is_summed_whole() {
    let c = Sizes { n_vocab: 9_001, n_layers: 1, ..SMALL };
    let weights = Weights::random(&c, &mut RngStream::new(5, 0));
    let model = ModelFile::of(&c, &weights).model().unwrap();
    let tokens = [4095, 4096, 8191, 8192, 9000, 0];
    let (logits, _) = forward(&c, &weights, &tokens);
    let losses = model.losses(Run::of(&tokens), &mut ()).unwrap().remove(0);
    for i in 0..5 {
        let log_sum_exp = logits.row(i).mapv(f64::exp).sum().ln();
        assert!((losses.log_sum_exp[i] - log_sum_exp).abs() < 1e-5);
        assert!((losses.nll[i] - (log_sum_exp - logits[[i, tokens[i + 1] as usize]])).abs() < 5e-5);
    }
}
