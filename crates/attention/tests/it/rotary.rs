use crate::naive::distance;
use approx::assert_abs_diff_eq;
use collimate_attention::{Rotary, RotaryLayout, RotaryTable, split_heads_mut};
use collimate_stream::RngStream;
use ndarray::{Array2, Array3, array};

fn rows(shape: (usize, usize, usize), seed: u64) -> Array3<f64> {
    let mut stream = RngStream::new(seed, 0);
    Array3::from_shape_simple_fn(shape, || stream.normal())
}

#[test]
fn known_values_of_both_layouts() {
    // Width 4, base 100: angles m and m/10.
    let expected = |m: f64, [a, b, c, d]: [f64; 4]| {
        let (x, y) = (m, m / 10.0);
        [
            a * x.cos() - b * x.sin(),
            a * x.sin() + b * x.cos(),
            c * y.cos() - d * y.sin(),
            c * y.sin() + d * y.cos(),
        ]
    };
    let e = expected(3.0, [1.0, 2.0, 3.0, 4.0]);
    let mut x = array![[[1.0, 2.0, 3.0, 4.0, 9.0]]];
    Rotary::interleaved(4, 100.0).table([3]).unwrap().apply(&mut x).unwrap();
    assert!(distance(&x, &array![[[e[0], e[1], e[2], e[3], 9.0]]]) < 1e-15);
    let mut x = array![[[1.0, 3.0, 2.0, 4.0, 9.0]]];
    Rotary::half_split(4, 100.0).table([3]).unwrap().apply(&mut x).unwrap();
    assert!(distance(&x, &array![[[e[0], e[2], e[1], e[3], 9.0]]]) < 1e-15);
}

#[test]
fn the_inverse_undoes_it_and_strides_do_not_matter() {
    for rotary in [Rotary::interleaved(6, 50.0), Rotary::half_split(6, 50.0), Rotary::half_split(2, 50.0)] {
        let table: RotaryTable<f64> = rotary.table(-3..8).unwrap();
        let x = rows((2, 11, 7), 1);
        let mut turned = x.clone();
        table.apply(&mut turned).unwrap();
        assert!(distance(&turned, &x) > 0.1);
        let mut back = turned.clone();
        table.apply_inverse(&mut back).unwrap();
        assert!(distance(&back, &x) < 1e-14);
        // These rows with a strided last axis.
        let mut strided =
            x.clone().permuted_axes([2, 0, 1]).as_standard_layout().into_owned().permuted_axes([1, 2, 0]);
        assert_ne!(strided.strides()[2], 1);
        table.apply(&mut strided).unwrap();
        assert_eq!(strided, turned);
        // The rows as the heads of a `[t, h·d]` matrix, from a later position of the table on.
        let mut flat = Array2::zeros((4, 14));
        split_heads_mut(&mut flat, 7).unwrap().assign(&x.slice(ndarray::s![.., 5..9, ..]));
        table.apply_from(5, &mut split_heads_mut(&mut flat, 7).unwrap()).unwrap();
        assert_eq!(split_heads_mut(&mut flat, 7).unwrap(), turned.slice(ndarray::s![.., 5..9, ..]));
    }
}

#[test]
fn tables_are_computed_in_double_precision() {
    // In f32 the angle of position 8191 would be wrong in the fourth digit.
    let table = Rotary::interleaved(64, 100_000.0).table::<f32>([8191]).unwrap();
    let mut x = Array3::<f32>::zeros((1, 1, 64));
    x[[0, 0, 2]] = 1.0;
    table.apply(&mut x).unwrap();
    let angle = 8191.0 * 100_000f64.powf(-2.0 / 64.0);
    assert_abs_diff_eq!(f64::from(x[[0, 0, 2]]), angle.cos(), epsilon = 1e-7);
}

#[test]
fn a_table_of_given_cosines_turns_as_they_say() {
    let (cos, sin) = (array![[0.0]], array![[1.0]]);
    let table = RotaryTable::from_cos_sin(RotaryLayout::Interleaved, cos, sin).unwrap();
    let mut x = array![[[3.0, 5.0]]];
    table.apply(&mut x).unwrap();
    assert_eq!(x, array![[[-5.0, 3.0]]]);
    assert!(RotaryTable::from_cos_sin(RotaryLayout::Interleaved, array![[0.0]], array![[1.0, 2.0]]).is_err());
}
