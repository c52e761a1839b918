//! Inputs that can be printed as Rust source and changed number by number.

use ndarray::{Array, Array1, Array2, Array3, Axis, RemoveAxis};

/// An input of an exact claim.
///
/// `coordinates` lists its numbers in a fixed order. `with_coordinates` replaces them and keeps the shape. `cut` deletes entries.
/// Shrinking and guided search use them.
///
/// # Examples
/// ```
/// use collimate_claims::Case;
/// use ndarray::array;
/// let case = (array![[1.0, -0.5]], 3usize);
/// assert_eq!(case.literal(), "(array![[1.0, -0.5]], 3usize)");
/// assert_eq!(case.coordinates(), [1.0, -0.5, 3.0]);
/// assert!(case.with_coordinates(&[0.0, 0.0, -1.0]).is_none()); // no usize is −1
/// assert_eq!(vec![1.0, 2.0, 3.0].cut(&vec![0.0, 0.0], 1), Some(vec![1.0, 3.0]));
/// ```
pub trait Case: Clone + Send + Sync + 'static {
    /// Returns the input as Rust source.
    fn literal(&self) -> String;
    /// Returns the parts of a tuple as Rust source; any other input is one part.
    fn parts(&self) -> Vec<String> {
        vec![self.literal()]
    }
    /// Returns the numbers of the input.
    fn coordinates(&self) -> Vec<f64>;
    /// Returns an input of this shape with other numbers, or `None` if the type cannot hold one of them.
    ///
    /// `numbers` has the length of [`Case::coordinates`].
    fn with_coordinates(&self, numbers: &[f64]) -> Option<Self>;
    /// Returns the lengths of all lists and axes, in a fixed order; none for a number.
    fn lengths(&self) -> Vec<usize> {
        Vec::new()
    }
    /// Returns the input without the entries that `shape`, a smaller input, has no place for. The first deleted entry of each list
    /// or axis is `at`, or the last possible one. The numbers of `shape` do not count.
    ///
    /// Returns `None` if a list or axis of `shape` is longer than that of the input.
    fn cut(&self, shape: &Self, at: usize) -> Option<Self> {
        let _ = at;
        (self.lengths() == shape.lengths()).then(|| self.clone())
    }
}

/// Returns the positions that stay when a list of `length` entries becomes `kept` entries long, or `None` if it would have to grow.
fn staying(length: usize, kept: usize, at: usize) -> Option<Vec<usize>> {
    let gone = length.checked_sub(kept)?;
    let first = at.min(kept);
    Some((0..first).chain(first + gone..length).collect())
}

fn float(x: f64, name: &str) -> Option<String> {
    if x.is_nan() {
        Some(format!("{name}::NAN"))
    } else if x.is_infinite() {
        Some(format!("{name}::{}", if x > 0.0 { "INFINITY" } else { "NEG_INFINITY" }))
    } else {
        None
    }
}

impl Case for f64 {
    fn literal(&self) -> String {
        float(*self, "f64").unwrap_or_else(|| format!("{self:?}"))
    }
    fn coordinates(&self) -> Vec<f64> {
        vec![*self]
    }
    fn with_coordinates(&self, numbers: &[f64]) -> Option<Self> {
        numbers.first().copied()
    }
}

impl Case for f32 {
    fn literal(&self) -> String {
        float(f64::from(*self), "f32").unwrap_or_else(|| format!("{self:?}f32"))
    }
    fn coordinates(&self) -> Vec<f64> {
        vec![f64::from(*self)]
    }
    fn with_coordinates(&self, numbers: &[f64]) -> Option<Self> {
        numbers.first().map(|&x| x as f32)
    }
}

macro_rules! unsigned {
    ($($type:ident)*) => {$(
        impl Case for $type {
            fn literal(&self) -> String {
                format!("{self}{}", stringify!($type))
            }
            fn coordinates(&self) -> Vec<f64> {
                vec![*self as f64]
            }
            fn with_coordinates(&self, numbers: &[f64]) -> Option<Self> {
                let x = *numbers.first()?;
                // An unchanged number must stay unchanged even beyond 2⁵³.
                if x == *self as f64 {
                    return Some(*self);
                }
                // 2⁵³: beyond it not every integer has an f64.
                (x >= 0.0 && x.fract() == 0.0 && x <= 9_007_199_254_740_992.0).then_some(x as $type)
            }
        }
    )*};
}
unsigned!(usize u64);

impl Case for bool {
    fn literal(&self) -> String {
        self.to_string()
    }
    fn coordinates(&self) -> Vec<f64> {
        vec![f64::from(u8::from(*self))]
    }
    fn with_coordinates(&self, numbers: &[f64]) -> Option<Self> {
        match numbers.first() {
            Some(0.0) => Some(false),
            Some(1.0) => Some(true),
            _ => None,
        }
    }
}

impl Case for String {
    fn literal(&self) -> String {
        format!("{self:?}.to_owned()")
    }
    fn coordinates(&self) -> Vec<f64> {
        Vec::new()
    }
    fn with_coordinates(&self, _: &[f64]) -> Option<Self> {
        Some(self.clone())
    }
    fn lengths(&self) -> Vec<usize> {
        vec![self.chars().count()]
    }
    fn cut(&self, shape: &Self, at: usize) -> Option<Self> {
        let letters: Vec<char> = self.chars().collect();
        let stay = staying(letters.len(), shape.chars().count(), at)?;
        Some(stay.into_iter().map(|i| letters[i]).collect())
    }
}

/// Deletes slices of an array along every axis on which `shape` is shorter.
fn cut_axes<D: RemoveAxis>(array: &Array<f64, D>, shape: &Array<f64, D>, at: usize) -> Option<Array<f64, D>> {
    let mut out = array.clone();
    for axis in 0..array.ndim() {
        let stay = staying(array.len_of(Axis(axis)), shape.len_of(Axis(axis)), at)?;
        out = out.select(Axis(axis), &stay);
    }
    Some(out)
}

fn row<'a>(items: impl IntoIterator<Item = &'a f64>) -> String {
    let items: Vec<String> = items.into_iter().map(Case::literal).collect();
    format!("[{}]", items.join(", "))
}

impl Case for Array1<f64> {
    fn literal(&self) -> String {
        if self.is_empty() { "Array1::<f64>::zeros(0)".to_owned() } else { format!("array!{}", row(self)) }
    }
    fn coordinates(&self) -> Vec<f64> {
        self.iter().copied().collect()
    }
    fn with_coordinates(&self, numbers: &[f64]) -> Option<Self> {
        (numbers.len() == self.len()).then(|| Array1::from_vec(numbers.to_vec()))
    }
    fn lengths(&self) -> Vec<usize> {
        self.shape().to_vec()
    }
    fn cut(&self, shape: &Self, at: usize) -> Option<Self> {
        cut_axes(self, shape, at)
    }
}

impl Case for Array2<f64> {
    fn literal(&self) -> String {
        if self.is_empty() {
            return format!("Array2::<f64>::zeros({:?})", self.dim());
        }
        let rows: Vec<String> = self.outer_iter().map(|r| row(r.iter())).collect();
        format!("array![{}]", rows.join(", "))
    }
    fn coordinates(&self) -> Vec<f64> {
        self.iter().copied().collect()
    }
    fn with_coordinates(&self, numbers: &[f64]) -> Option<Self> {
        Array2::from_shape_vec(self.dim(), numbers.to_vec()).ok()
    }
    fn lengths(&self) -> Vec<usize> {
        self.shape().to_vec()
    }
    fn cut(&self, shape: &Self, at: usize) -> Option<Self> {
        cut_axes(self, shape, at)
    }
}

impl Case for Array3<f64> {
    fn literal(&self) -> String {
        if self.is_empty() {
            return format!("Array3::<f64>::zeros({:?})", self.dim());
        }
        let plane = |p: ndarray::ArrayView2<f64>| {
            let rows: Vec<String> = p.outer_iter().map(|r| row(r.iter())).collect();
            format!("[{}]", rows.join(", "))
        };
        let planes: Vec<String> = self.outer_iter().map(plane).collect();
        format!("array![{}]", planes.join(", "))
    }
    fn coordinates(&self) -> Vec<f64> {
        self.iter().copied().collect()
    }
    fn with_coordinates(&self, numbers: &[f64]) -> Option<Self> {
        Array3::from_shape_vec(self.dim(), numbers.to_vec()).ok()
    }
    fn lengths(&self) -> Vec<usize> {
        self.shape().to_vec()
    }
    fn cut(&self, shape: &Self, at: usize) -> Option<Self> {
        cut_axes(self, shape, at)
    }
}

impl<T: Case> Case for Vec<T> {
    fn literal(&self) -> String {
        let items: Vec<String> = self.iter().map(Case::literal).collect();
        format!("vec![{}]", items.join(", "))
    }
    fn coordinates(&self) -> Vec<f64> {
        self.iter().flat_map(Case::coordinates).collect()
    }
    fn with_coordinates(&self, numbers: &[f64]) -> Option<Self> {
        let mut rest = numbers;
        let mut out = Vec::with_capacity(self.len());
        for item in self {
            let (mine, others) = rest.split_at_checked(item.coordinates().len())?;
            out.push(item.with_coordinates(mine)?);
            rest = others;
        }
        rest.is_empty().then_some(out)
    }
    fn lengths(&self) -> Vec<usize> {
        std::iter::once(self.len()).chain(self.iter().flat_map(Case::lengths)).collect()
    }
    fn cut(&self, shape: &Self, at: usize) -> Option<Self> {
        let stay = staying(self.len(), shape.len(), at)?;
        // A list of lists may be ragged, so an entry that cannot take the shape of its place keeps its own.
        let item = |(to, from): (&T, usize)| self[from].cut(to, at).unwrap_or_else(|| self[from].clone());
        Some(shape.iter().zip(stay).map(item).collect())
    }
}

macro_rules! tuple {
    ($($name:ident $index:tt),+) => {
        impl<$($name: Case),+> Case for ($($name,)+) {
            fn parts(&self) -> Vec<String> {
                vec![$(self.$index.literal()),+]
            }
            fn literal(&self) -> String {
                let items = self.parts();
                let comma = if items.len() == 1 { "," } else { "" };
                format!("({}{comma})", items.join(", "))
            }
            fn coordinates(&self) -> Vec<f64> {
                let mut out = Vec::new();
                $(out.extend(self.$index.coordinates());)+
                out
            }
            fn with_coordinates(&self, numbers: &[f64]) -> Option<Self> {
                let mut rest = numbers;
                let out = ($({
                    let (mine, others) = rest.split_at_checked(self.$index.coordinates().len())?;
                    rest = others;
                    self.$index.with_coordinates(mine)?
                },)+);
                rest.is_empty().then_some(out)
            }
            fn lengths(&self) -> Vec<usize> {
                let mut out = Vec::new();
                $(out.extend(self.$index.lengths());)+
                out
            }
            fn cut(&self, shape: &Self, at: usize) -> Option<Self> {
                Some(($(self.$index.cut(&shape.$index, at)?,)+))
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, G 5);

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn literals_are_rust_source() {
        assert_eq!(array![[1.0, f64::NAN]].literal(), "array![[1.0, f64::NAN]]");
        assert_eq!(array![[[1.0], [2.5]]].literal(), "array![[[1.0], [2.5]]]");
        assert_eq!(Array2::<f64>::zeros((0, 3)).literal(), "Array2::<f64>::zeros((0, 3))");
        assert_eq!(vec![(1.5f32, true)].literal(), "vec![(1.5f32, true)]");
        assert_eq!(("a\"b".to_owned(),).literal(), "(\"a\\\"b\".to_owned(),)");
        assert_eq!(1e-300.literal(), "1e-300");
        assert_eq!(f64::NEG_INFINITY.literal(), "f64::NEG_INFINITY");
    }

    #[test]
    fn coordinates_round_trip() {
        let case = (array![1.0, 2.0], vec![3u64, u64::MAX], false, "x".to_owned(), 0.5f32, array![[4.0]]);
        let back = case.with_coordinates(&case.coordinates()).unwrap();
        assert_eq!(back, case);
        assert!(case.with_coordinates(&[1.0]).is_none());
        assert!(true.with_coordinates(&[0.5]).is_none());
    }

    #[test]
    fn entries_are_deleted_from_every_part() {
        let case = (array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], vec![7u64, 8, 9], "abc".to_owned(), 0.5);
        let shape = (array![[0.0, 0.0], [0.0, 0.0]], vec![0u64, 0], "xy".to_owned(), 2.0);
        let cut = case.cut(&shape, 1).unwrap();
        assert_eq!(cut, (array![[1.0, 3.0], [4.0, 6.0]], vec![7, 9], "ac".to_owned(), 0.5));
        assert_eq!(case.cut(&shape, 99).unwrap().1, [7, 8]);
        assert_eq!(case.cut(&case, 0), Some(case.clone()));
        assert_eq!(shape.cut(&case, 0), None);
        assert_eq!(case.lengths(), [2, 3, 3, 3]);
        let ragged = vec![vec![1.0, 2.0], vec![3.0], vec![]];
        assert_eq!(ragged.cut(&vec![vec![0.0]], 1), Some(vec![vec![1.0]]));
        assert_eq!(ragged.cut(&vec![vec![0.0; 5], vec![]], 0), Some(vec![vec![3.0], vec![]]));
    }
}
