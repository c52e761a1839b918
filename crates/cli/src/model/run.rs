//! `collimate model run`.

use super::open::{Precision, open};
use crate::session::check_file;
use anyhow::{Context, bail};
use collimate_output::check_inputs;
use collimate_tensor::files::{FileArray, FileData, Safetensors, write_safetensors};
use collimate_transformer::{Capture, HookPoint, Input, Model, Targets};
use ndarray::{Array2, ArrayD};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The options of `collimate model run`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate model run some-folder --input ids.safetensors --output out.safetensors
  collimate model run some-folder --input ids.safetensors --output out.safetensors --precision f64 --capture all
  collimate model run model.gguf --input ids.safetensors --output out.safetensors --capture residual_pre.3,blocks.3.attn.hook_z
  collimate model run some-folder --input ids.safetensors --output out.safetensors --gradients
  collimate model run some-folder --input ids.safetensors --output out.safetensors --direction v.safetensors --hessian

The input holds input_ids [b, t], and where wanted attention_mask, position_ids, token_type_ids and labels [b, t].
The output holds logits [b, t, v] and hidden_states.k [b, t, d]; with --capture all also attentions.k [b, h, t, t], q.k, k.k and
v.k [b, h, t, e], z.k [b, t, h, e], attn_out.k, mlp_out.k and resid_final [b, t, d]; with --gradients loss, grad.NAME for each tensor of
the model and grad_hidden.k; along a direction jvp.logits, jvp.loss and with --hessian hvp.NAME.")]
pub(crate) struct Options {
    /// The model, a folder with config.json and safetensors files, or a GGUF file.
    #[arg(value_name = "MODEL")]
    place: PathBuf,
    /// Read the configuration from another file than config.json beside the weights.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The .safetensors file with the tokens.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The .safetensors file to write. It must not exist, unless --force is given.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Keep the weights as the file stores them, in half precision or in quantised blocks, and expand them tile by tile. The memory is
    /// that of the file.
    #[arg(long, conflicts_with_all = ["config", "gradients", "direction"])]
    as_stored: bool,
    /// The precision of the computation.
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
    /// Write activations too: `all`, or names of hook points as `collimate model info` lists them.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    capture: Vec<String>,
    /// Write the loss, and its gradients by every tensor of the model and by the hidden states. The loss is the mean over the next tokens,
    /// or over the labels that are not -100.
    #[arg(long)]
    gradients: bool,
    /// The .safetensors file with a direction, a tensor for each tensor of the model: write the derivatives along it.
    #[arg(long, value_name = "FILE")]
    direction: Option<PathBuf>,
    /// Write the product of the Hessian of the loss with the direction too.
    #[arg(long, requires = "direction")]
    hessian: bool,
    /// Replace an existing output.
    #[arg(long)]
    force: bool,
}

/// Runs the model on the tokens of a file.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let read: Vec<&Path> =
        [Some(&options.input), options.config.as_ref(), options.direction.as_ref(), Some(&options.place)]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
            .collect();
    check_inputs(&options.output, read.iter().copied())?;
    check_file(&options.output, options.force)?;
    match options.precision {
        Precision::F32 => run_in::<f32>(options),
        Precision::F64 => run_in::<f64>(options),
    }
}

fn run_in<F: collimate_transformer::Precision>(options: &Options) -> anyhow::Result<()> {
    let given = Given::read(&options.input)?;
    let model: Model<F> = open(&options.place, options.config.as_deref(), options.as_stored)?;
    let (all, points) = wanted(&model, &options.capture)?;
    let mut out: BTreeMap<String, ArrayD<F>> = BTreeMap::new();
    let differentiate = options.gradients || options.direction.is_some();
    out.extend(model.run_named(&given.input, all)?);
    if !points.is_empty() {
        let mut capture = Capture::at(points.iter().map(|(_, point)| *point));
        model.run(&given.input, &mut capture)?;
        for (name, point) in &points {
            out.insert(name.clone(), capture.get(*point)?.clone());
        }
    }
    if differentiate {
        out.extend(gradients(options, &model, &given)?);
    }
    let tensors =
        out.into_iter().map(|(name, x)| Ok((name, array(x)?))).collect::<anyhow::Result<Vec<_>>>()?;
    let tensors: Vec<(&str, FileArray)> =
        tensors.iter().map(|(name, x)| (name.as_str(), x.clone())).collect();
    write_safetensors(&options.output, &tensors, &[])?;
    let (b, t) = given.input.ids().dim();
    println!("{}: {} tensors for {b} sequences of {t} tokens", options.output.display(), tensors.len());
    Ok(())
}

/// Computes the gradients, and the derivatives along a direction.
fn gradients<F: collimate_transformer::Precision>(
    options: &Options,
    model: &Model<F>,
    given: &Given,
) -> anyhow::Result<BTreeMap<String, ArrayD<F>>> {
    let direction = match &options.direction {
        Some(path) => {
            let tensors = numbers(&Safetensors::open(path)?)?;
            Some(model.parameters_from_tensors(&tensors).with_context(|| format!("in {}", path.display()))?)
        }
        None => None,
    };
    let points = if options.gradients { model.hidden_state_points() } else { Vec::new() };
    let g = model.gradients(&given.input, &given.targets(), &points, direction.as_deref())?;
    let one = |x: f64| ArrayD::from_elem(ndarray::IxDyn(&[]), collimate_tensor::Scalar::from_f64(x));
    let mut out = BTreeMap::new();
    if options.gradients {
        out.insert("loss".into(), one(g.loss));
        out.extend(
            model.as_tensors(&g.by_parameter).into_iter().map(|(name, x)| (format!("grad.{name}"), x)),
        );
        for (k, point) in points.iter().enumerate() {
            if let Some(x) = g.by_point.get(point) {
                out.insert(format!("grad_hidden.{k}"), x.clone());
            }
        }
    }
    if let Some(along) = g.along {
        out.insert("jvp.loss".into(), one(along.loss));
        if options.hessian {
            let products = model.as_tensors(&along.by_parameter);
            out.extend(products.into_iter().map(|(name, x)| (format!("hvp.{name}"), x)));
        }
        out.insert("jvp.logits".into(), along.logits.into_dyn());
    }
    Ok(out)
}

/// Returns true if all activations are wanted, and the hook points that are named.
fn wanted<F: collimate_transformer::Precision>(
    model: &Model<F>,
    names: &[String],
) -> anyhow::Result<(bool, Vec<(String, HookPoint)>)> {
    let mut points = Vec::new();
    let mut all = false;
    for name in names {
        if name == "all" {
            all = true;
            continue;
        }
        let point: HookPoint = name.parse().context("--capture")?;
        if !model.has_point(point) {
            bail!("--capture: the model has no {name}; `collimate model info` lists its hook points");
        }
        points.push((name.clone(), point));
    }
    Ok((all, points))
}

/// The tokens of the input file.
struct Given {
    input: Input,
    labels: Option<Array2<i64>>,
}

impl Given {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let file = Safetensors::open(path)?;
        let known = ["input_ids", "attention_mask", "position_ids", "token_type_ids", "labels"];
        if let Some(name) = file.names().find(|name| !known.contains(name)) {
            bail!("{}: '{name}' is no input; inputs are {}", path.display(), known.join(", "));
        }
        let read = |name: &str| -> anyhow::Result<Option<Array2<i64>>> {
            if file.shape(name).is_none() {
                return Ok(None);
            }
            let whole = file.read(name)?.to_i64();
            let array = whole.and_then(|x| x.into_dimensionality().ok());
            array
                .map(Some)
                .with_context(|| format!("{}: '{name}' must be whole numbers [b, t]", path.display()))
        };
        let positive = |name: &str, x: &Array2<i64>| -> anyhow::Result<Array2<u32>> {
            match x.iter().find(|&&x| u32::try_from(x).is_err()) {
                Some(x) => bail!("{}: '{name}' holds {x}, which is no id", path.display()),
                None => Ok(x.mapv(|x| x as u32)),
            }
        };
        let ids = read("input_ids")?.with_context(|| format!("{}: no 'input_ids'", path.display()))?;
        let mut input = Input::new(positive("input_ids", &ids)?);
        if let Some(mask) = read("attention_mask")? {
            input = input.with_mask(mask.mapv(|x| x != 0));
        }
        if let Some(positions) = read("position_ids")? {
            input = input.with_positions(positions);
        }
        if let Some(types) = read("token_type_ids")? {
            input = input.with_types(positive("token_type_ids", &types)?);
        }
        Ok(Self { input, labels: read("labels")? })
    }

    /// Returns the labels that count, or the next tokens.
    fn targets(&self) -> Targets {
        match &self.labels {
            Some(labels) => Targets::of(labels.mapv(|x| u32::try_from(x).ok())),
            None => Targets::next_tokens(&self.input),
        }
    }
}

/// Reads every tensor of a file as numbers of the precision of the model.
fn numbers<F: collimate_transformer::Precision>(
    file: &Safetensors,
) -> anyhow::Result<BTreeMap<String, ArrayD<F>>> {
    let read = |name: &str| {
        Ok((name.to_owned(), file.read(name)?.to_f64().mapv(collimate_tensor::Scalar::from_f64)))
    };
    file.names().map(read).collect()
}

fn array<F: collimate_transformer::Precision>(x: ArrayD<F>) -> anyhow::Result<FileArray> {
    let shape = x.shape().to_vec();
    let values = x.iter().map(|&x| collimate_tensor::Scalar::to_f64(x));
    let data = if <F as collimate_tensor::Scalar>::NAME == "f64" {
        FileData::F64(values.collect())
    } else {
        FileData::F32(values.map(|x| x as f32).collect())
    };
    Ok(FileArray::new(shape, data)?)
}
