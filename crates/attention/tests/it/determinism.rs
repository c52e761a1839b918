use crate::naive::Case;
use ndarray::Array3;

#[test]
fn one_thread_and_three_give_the_same_bits() {
    let case = Case {
        key_heads: 3,
        group: 3,
        queries: 200,
        keys: 200,
        width: 64,
        value_width: 64,
        choice: 22,
        magnitude: 1.0,
        seed: 1,
    };
    let (q, k, v) = case.arrays();
    let single = |x: &Array3<f64>| x.mapv(|x| x as f32);
    let (q, k, v) = (single(&q), single(&k), single(&v));
    let run = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let (out, saved) = case.attention().forward(&q, &k, &v).unwrap();
            let g = case.attention().backward(&saved, &out).unwrap();
            let jvp = case.attention().jvp(&saved, &q, &k, &v).unwrap();
            let all = out.iter().chain(saved.log_sum_exp()).chain(&g.q).chain(&g.k).chain(&g.v).chain(&jvp);
            all.map(|x| x.to_bits()).collect::<Vec<u32>>()
        })
    };
    let alone = run(1);
    assert!(alone == run(2) && alone == run(3));
}
