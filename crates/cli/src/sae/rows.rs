//! Rows from folders of shards or from files of arrays. The rows of several places stand side by side.

use anyhow::{Context, bail, ensure};
use collimate_measure::Fingerprint;
use collimate_sae::shards::{self, Beside, Shards};
use collimate_sae::{SaeError, epochs};
use collimate_stream::RngStream;
use collimate_studies::Provenance;
use collimate_studies::language_model::mean_row;
use collimate_tensor::files::{FileArray, FileData, FileKind, Npz, Safetensors, read_npy};
use ndarray::{Array1, Array2, ArrayView1, Axis, concatenate};
use std::path::{Path, PathBuf};

/// The number of first rows over which the median length is taken.
const CALIBRATION: usize = 8192;

/// The places of the rows of a dictionary.
#[derive(clap::Args)]
pub(super) struct Places {
    /// The rows: a folder of shards that `collimate activations` wrote, or a file .npy, .npz or .safetensors. Give the option once
    /// for each layer of a crosscoder or of a transcoder of several layers, all on the same tokens.
    #[arg(long, value_name = "PLACE", required = true)]
    activations: Vec<PathBuf>,
    /// The name of the array in a file with several arrays. Give it once for all places, or once for each place.
    #[arg(long)]
    key: Vec<String>,
    /// The rows that a transcoder predicts: another site of the model on the same tokens. Give the option once for each layer of a
    /// transcoder of several layers, in the order of --activations.
    #[arg(long, value_name = "PLACE")]
    target: Vec<PathBuf>,
    /// The name of the array in a file of a target with several arrays. Give it once for all targets, or once for each.
    #[arg(long, value_name = "KEY", requires = "target")]
    target_key: Vec<String>,
}

/// Rows for training and measurement: the columns of all places, followed by the columns of the targets.
pub(super) struct Rows {
    source: Source,
    /// The widths of the places, without the targets.
    widths: Vec<usize>,
    /// The widths of the targets.
    targets: Vec<usize>,
    /// The largest norm of the inputs of a row that is kept.
    largest: f64,
}

enum Source {
    /// Shards on disk, which name the document of each row.
    Shards(Beside),
    /// An array in memory.
    Array(Array2<f32>),
}

/// A block of rows, with the document of each row if it is known.
pub(super) type Block = Result<(Array2<f32>, Option<Vec<u32>>), SaeError>;

impl Places {
    /// Returns the paths of all places.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> + Clone {
        self.activations.iter().chain(&self.target).map(PathBuf::as_path)
    }

    /// Opens the shards or reads the arrays.
    pub(super) fn open(&self) -> anyhow::Result<Rows> {
        let mut all = named("--key", "--activations", &self.activations, &self.key)?;
        all.extend(named("--target-key", "--target", &self.target, &self.target_key)?);
        let (source, mut widths) = if all.iter().all(|(place, _)| place.is_file()) {
            files(&all)?
        } else {
            let folders =
                all.iter().map(|&(place, key)| open_shards(place, key)).collect::<Result<Vec<_>, _>>()?;
            let widths = folders.iter().map(Shards::width).collect();
            (Source::Shards(Beside::new(folders)?), widths)
        };
        let targets = widths.split_off(self.activations.len());
        Ok(Rows { source, widths, targets, largest: f64::INFINITY })
    }
}

/// Returns places with the names of their arrays. A name counts for its own place, or for all places if it is the only one.
fn named<'a>(
    option: &str,
    of: &str,
    places: &'a [PathBuf],
    keys: &'a [String],
) -> anyhow::Result<Vec<(&'a Path, Option<&'a str>)>> {
    ensure!(
        keys.len() <= 1 || keys.len() == places.len(),
        "{option} must be given once, or once for each of the {} {of}, but is given {} times",
        places.len(),
        keys.len()
    );
    let key = |place: usize| keys.get(place).or_else(|| keys.first().filter(|_| keys.len() == 1));
    Ok((0..places.len()).map(|i| (places[i].as_path(), key(i).map(String::as_str))).collect())
}

/// Returns true if a place is a folder, which can only hold shards.
pub(super) fn is_shards(place: &Path) -> bool {
    place.is_dir()
}

/// Opens a single place: a folder of shards, or a file with one array.
pub(super) fn open(place: &Path) -> anyhow::Result<Rows> {
    let (source, widths) = match place.is_file() {
        true => files(&[(place, None)])?,
        false => {
            let shards = open_shards(place, None)?;
            let width = shards.width();
            (Source::Shards(Beside::new(vec![shards])?), vec![width])
        }
    };
    Ok(Rows { source, widths, targets: Vec::new(), largest: f64::INFINITY })
}

/// Opens the shards of a folder.
pub(super) fn open_shards(place: &Path, key: Option<&str>) -> anyhow::Result<Shards> {
    ensure!(
        !place.is_file(),
        "{} is a file, but other rows lie in a folder; give folders only, or files only",
        place.display()
    );
    ensure!(
        place.join("index").is_file(),
        "{} holds no finished shards; `collimate activations --output {}` writes them, or give a file of rows (.npy, .npz, \
         .safetensors)",
        place.display(),
        place.display()
    );
    ensure!(key.is_none(), "--key names an array of a file, but {} is a folder of shards", place.display());
    Ok(Shards::open(place)?)
}

/// Returns what sets of shards say about their rows, side by side.
pub(super) fn of_sets(sets: &[Shards]) -> Provenance {
    let all: Vec<Provenance> = sets.iter().map(|set| Provenance::new(set.about().clone())).collect();
    Provenance::side_by_side(&all)
}

/// Reads the rows of files, puts them side by side, and returns them with the width of each.
fn files(all: &[(&Path, Option<&str>)]) -> anyhow::Result<(Source, Vec<usize>)> {
    let mut parts: Vec<Array2<f32>> = Vec::with_capacity(all.len());
    for &(place, key) in all {
        let array = array(place, key)?;
        let shape = array.shape();
        let width = shape.last().copied().unwrap_or(0);
        ensure!(
            shape.len() >= 2 && shape.iter().all(|&axis| axis > 0),
            "{}: expected an array of rows, [rows, width] or with more leading axes, but its shape is {shape:?}",
            place.display()
        );
        let rows = flatten(&array, width)?.0.mapv(|v| v as f32);
        if let Some(((row, column), value)) = rows.indexed_iter().find(|(_, v)| !v.is_finite()) {
            bail!("{}: values must be finite, but row {row}, column {column} is {value}", place.display());
        }
        if let Some(first) = parts.first() {
            ensure!(
                first.nrows() == rows.nrows(),
                "{} has {} rows, but {} has {}; each row must belong to the same token in both",
                place.display(),
                rows.nrows(),
                all[0].0.display(),
                first.nrows()
            );
        }
        parts.push(rows);
    }
    let widths = parts.iter().map(Array2::ncols).collect();
    let rows = match parts.len() {
        1 => parts.swap_remove(0),
        _ => concatenate(Axis(1), &parts.iter().map(|part| part.view()).collect::<Vec<_>>())?,
    };
    Ok((Source::Array(rows), widths))
}

impl Rows {
    /// Returns the width of each place.
    pub(super) fn widths(&self) -> &[usize] {
        &self.widths
    }

    /// Returns the width of the input: the sum over all places.
    pub(super) fn width(&self) -> usize {
        self.widths.iter().sum()
    }

    /// Returns the width of each target.
    pub(super) fn targets(&self) -> &[usize] {
        &self.targets
    }

    /// Returns the width of the target of rows that have one at most, or `None` if there is none.
    pub(super) fn target(&self) -> anyhow::Result<Option<usize>> {
        ensure!(
            self.targets.len() <= 1,
            "--target is given {} times, but a dictionary of single rows predicts one place; give one target",
            self.targets.len()
        );
        Ok(self.targets.first().copied())
    }

    /// Returns the number of rows.
    pub(super) fn count(&self) -> u64 {
        match &self.source {
            Source::Shards(shards) => shards.rows(),
            Source::Array(rows) => rows.nrows() as u64,
        }
    }

    /// Returns the fingerprint of the content.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        match &self.source {
            Source::Shards(shards) => shards.fingerprint(),
            Source::Array(rows) => {
                let bytes: Vec<u8> = rows.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect();
                Fingerprint::of(&(rows.ncols() as u64).to_le_bytes()).and(&bytes)
            }
        }
    }

    /// Returns what the files of the inputs say about their rows.
    pub(super) fn provenance(&self) -> Provenance {
        match &self.source {
            Source::Shards(shards) => of_sets(&shards.sets()[..self.widths.len()]),
            Source::Array(_) => Provenance::default(),
        }
    }

    /// Leaves out the rows whose inputs are longer than `factor` times the median length of the first rows.
    pub(super) fn leave_out(&mut self, factor: f64) -> anyhow::Result<()> {
        let mut norms = Vec::new();
        for block in self.blocks(CALIBRATION) {
            let (rows, _) = block?;
            norms.extend(rows.rows().into_iter().map(|row| self.norm(row)));
            if norms.len() >= CALIBRATION {
                break;
            }
        }
        norms.sort_by(f64::total_cmp);
        let median = norms.get(norms.len().saturating_sub(1) / 2).copied().unwrap_or(f64::INFINITY);
        self.largest = factor * median;
        Ok(())
    }

    /// Returns the length of the inputs of a row.
    fn norm(&self, row: ArrayView1<'_, f32>) -> f64 {
        row.iter().take(self.width()).map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt()
    }

    /// Removes the rows of a block that are left out.
    fn kept(&self, (rows, documents): (Array2<f32>, Option<Vec<u32>>)) -> (Array2<f32>, Option<Vec<u32>>) {
        if self.largest.is_infinite() {
            return (rows, documents);
        }
        let short = |&i: &usize| self.norm(rows.row(i)) <= self.largest;
        let kept: Vec<usize> = (0..rows.nrows()).filter(short).collect();
        let documents = documents.map(|documents| kept.iter().map(|&i| documents[i]).collect());
        (rows.select(Axis(0), &kept), documents)
    }

    /// Returns the mean of every column, target columns included.
    pub(super) fn mean(&self) -> anyhow::Result<Array1<f32>> {
        if self.largest.is_finite() {
            let (mut sum, mut count) =
                (Array1::<f64>::zeros(self.width() + self.targets.iter().sum::<usize>()), 0);
            for block in self.blocks(4096) {
                let (rows, _) = block?;
                count += rows.nrows();
                sum += &rows.mapv(f64::from).sum_axis(Axis(0));
            }
            ensure!(count > 0, "--max-norm leaves out every row; choose a larger factor");
            return Ok(sum.mapv(|sum| (sum / count as f64) as f32));
        }
        Ok(match &self.source {
            Source::Shards(shards) => {
                let means = shards.sets().iter().map(mean_row).collect::<Result<Vec<_>, _>>()?;
                means.into_iter().flatten().collect()
            }
            Source::Array(rows) => {
                let sum = rows.mapv(f64::from).sum_axis(Axis(0));
                sum.mapv(|sum| (sum / rows.nrows() as f64) as f32)
            }
        })
    }

    /// Returns the rows in their stored order, in blocks of at most `size` rows, without those that are left out.
    pub(super) fn blocks(&self, size: usize) -> Box<dyn Iterator<Item = Block> + '_> {
        match &self.source {
            Source::Shards(shards) => {
                let block = |b: shards::Block| self.kept((b.rows, Some(b.documents)));
                Box::new(shards.blocks(size).map(move |found| found.map(block)))
            }
            Source::Array(rows) => {
                let blocks = rows.axis_chunks_iter(Axis(0), size);
                Box::new(blocks.map(|rows| Ok(self.kept((rows.to_owned(), None)))))
            }
        }
    }

    /// Returns the rows in random order, epoch after epoch without end, in blocks of `block` rows.
    pub(super) fn shuffled(
        &self,
        block: usize,
        order: &mut RngStream,
    ) -> anyhow::Result<Box<dyn Iterator<Item = Result<Array2<f32>, SaeError>> + '_>> {
        Ok(match &self.source {
            Source::Shards(shards) => Box::new(shards.shuffled(1 << 16, block, order)?),
            Source::Array(rows) => Box::new(epochs(rows, block, order).map(Ok)),
        })
    }
}

/// Reads an array from a safetensors, npz or npy file, which its content tells apart. Without a key it must be the only array of the file.
pub(super) fn array(path: &Path, key: Option<&str>) -> anyhow::Result<FileArray> {
    let only = |names: Vec<&str>| match (key, names.as_slice()) {
        (Some(key), _) => Ok(key.to_owned()),
        (None, [one]) => Ok((*one).to_owned()),
        (None, many) => {
            bail!("{} holds {} arrays ({}); name one with --key", path.display(), many.len(), many.join(", "))
        }
    };
    Ok(match FileKind::of(path)? {
        FileKind::Safetensors => {
            let file = Safetensors::open(path)?;
            file.read(&only(file.names().collect())?)?
        }
        FileKind::Npz => {
            let file = Npz::open(path)?;
            file.read(&only(file.names().collect())?)?
        }
        FileKind::Npy => read_npy(path)?,
        other => bail!("{}: expected a file .safetensors, .npz or .npy, but this is {other}", path.display()),
    })
}

/// Reads an array from a file, or the first rows of a folder of shards.
pub(super) fn sample(place: &Path, key: Option<&str>, most: usize) -> anyhow::Result<FileArray> {
    if !is_shards(place) {
        return array(place, key);
    }
    let set = open_shards(place, key)?;
    let mut values: Vec<f32> = Vec::new();
    for block in set.blocks(most) {
        values.extend(&block?.rows);
        if values.len() >= most * set.width() {
            break;
        }
    }
    values.truncate(most * set.width());
    Ok(FileArray::new(vec![values.len() / set.width(), set.width()], FileData::F32(values))?)
}

/// Returns the rows of width `d` of an array, its leading axes, and the trailing axes that make up a row.
pub(super) fn flatten(array: &FileArray, d: usize) -> anyhow::Result<(Array2<f64>, Vec<usize>, Vec<usize>)> {
    let shape = array.shape().to_vec();
    let mut width = 1_usize;
    for axis in (0..shape.len()).rev() {
        width = width.saturating_mul(shape[axis]);
        if width == d {
            let rows: usize = shape[..axis].iter().product();
            let values = array.to_f64().into_shape_with_order((rows, d)).context("the rows")?;
            return Ok((values, shape[..axis].to_vec(), shape[axis..].to_vec()));
        }
    }
    bail!("expected rows of width {d}, but the shape of the input is {shape:?}")
}
