//! Tasks on the threads of the pool, and the matrix product inside a task.
//!
//! The part that talks to the pool is compiled once, so that a new kind of task costs little to compile.

use collimate_tensor::Scalar;
use ndarray::ArrayRef2;
use std::sync::Mutex;

/// The number of multiply-adds up to which all tasks run on the calling thread: entering the pool costs more.
const SERIAL: usize = 1 << 17;

/// Runs every task. Free threads take the tasks in order, so long tasks belong at the front. `work` is a number of
/// multiply-adds.
pub(crate) fn run<T: Send, B>(
    tasks: &mut [T],
    work: usize,
    buffers: impl Fn() -> B + Sync,
    run: impl Fn(&mut B, &mut T) + Sync,
) {
    let workers = rayon::current_num_threads().min(tasks.len());
    if work <= SERIAL || workers <= 1 {
        let mut own = buffers();
        return tasks.iter_mut().for_each(|task| run(&mut own, task));
    }
    let queue = Mutex::new(tasks.iter_mut());
    let next = || queue.lock().expect("no task runs under the lock").next();
    on_workers(workers, &|| {
        let mut own = buffers();
        while let Some(task) = next() {
            run(&mut own, task);
        }
    });
}

/// Computes `of(i)` for each `i` below `count`. Returns the results in order.
pub(crate) fn map<T: Send>(count: usize, of: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let mut results: Vec<Option<T>> = (0..count).map(|_| None).collect();
    let mut tasks: Vec<_> = results.iter_mut().enumerate().collect();
    run(&mut tasks, usize::MAX, || (), |(), (i, result)| **result = Some(of(*i)));
    results.into_iter().map(|result| result.expect("every task has run")).collect()
}

/// Sorts tasks by falling length. Tasks of one length keep their order.
pub(crate) fn longest_first<T>(tasks: Vec<T>, length: impl Fn(&T) -> usize) -> Vec<T> {
    let order = falling(tasks.iter().map(length).collect());
    let mut tasks: Vec<Option<T>> = tasks.into_iter().map(Some).collect();
    order.into_iter().filter_map(|i| tasks[i].take()).collect()
}

/// Returns the places of the numbers in falling order.
fn falling(numbers: Vec<usize>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(numbers[i]));
    order
}

fn on_workers(workers: usize, worker: &(dyn Fn() + Sync)) {
    rayon::scope(|scope| (0..workers).for_each(|_| scope.spawn(|_| worker())));
}

/// Computes `c = alpha · a b + beta · c` on the calling thread: the tiles are the parallel tasks.
///
/// # Panics
/// If the shapes do not fit, which would be a fault of this crate.
pub(crate) fn product<F: Scalar>(
    alpha: F,
    a: &ArrayRef2<F>,
    b: &ArrayRef2<F>,
    beta: F,
    c: &mut ArrayRef2<F>,
) {
    assert_eq!(
        (a.nrows(), a.ncols(), b.ncols()),
        (c.nrows(), b.nrows(), c.ncols()),
        "shapes of a tile product"
    );
    F::matmul_kernel(alpha, a, b, beta, c, false);
}
