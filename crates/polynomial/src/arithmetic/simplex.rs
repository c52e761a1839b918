//! Linear programs in exact arithmetic.

use super::work::Work;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

/// The result of a linear program.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Solution {
    /// No point satisfies the constraints.
    Infeasible,
    /// The objective has no maximum.
    Unbounded,
    /// The work was spent before the maximum was found.
    Stopped,
    /// A maximum and a point that attains it.
    Optimal { value: BigRational, point: Vec<BigRational> },
}

/// Maximises `objective · x` over `x ≥ 0` with `rows · x ≤ bounds`, by the simplex method with Bland's rule.
pub(crate) fn maximise(
    objective: &[BigRational],
    rows: &[Vec<BigRational>],
    bounds: &[BigRational],
    work: &Work,
) -> Solution {
    let n = objective.len();
    let mut table = Dictionary {
        basic: (n..n + rows.len()).collect(),
        free: (0..n).collect(),
        rows: rows.iter().map(|row| row.iter().map(|a| -a).collect()).collect(),
        bounds: bounds.to_vec(),
        objective: objective.to_vec(),
        value: BigRational::zero(),
        work,
    };
    let feasible = table.make_feasible();
    let bounded = feasible && table.climb();
    match (work.is_spent(), feasible, bounded) {
        (true, _, _) => return Solution::Stopped,
        (_, false, _) => return Solution::Infeasible,
        (_, _, false) => return Solution::Unbounded,
        _ => {}
    }
    let mut point = vec![BigRational::zero(); n];
    for (&variable, bound) in table.basic.iter().zip(&table.bounds) {
        if variable < n {
            point[variable] = bound.clone();
        }
    }
    Solution::Optimal { value: table.value, point }
}

/// The basic variables as functions of the free variables: `basic = bounds + rows · free`.
struct Dictionary<'a> {
    basic: Vec<usize>,
    free: Vec<usize>,
    rows: Vec<Vec<BigRational>>,
    bounds: Vec<BigRational>,
    objective: Vec<BigRational>,
    value: BigRational,
    work: &'a Work,
}

impl Dictionary<'_> {
    /// Raises the objective until no free variable raises it. Returns false if it has no maximum, or if the work was spent.
    fn climb(&mut self) -> bool {
        loop {
            if !self.work.spend((self.rows.len() * (self.free.len() + 4) / 4) as u64 + 1) {
                return false;
            }
            let rising = (0..self.free.len()).filter(|&j| self.objective[j].is_positive());
            let Some(column) = rising.min_by_key(|&j| self.free[j]) else { return true };
            let falling = (0..self.basic.len()).filter(|&i| self.rows[i][column].is_negative());
            let ratio = |i: usize| -&self.bounds[i] / &self.rows[i][column];
            let Some(row) =
                falling.min_by(|&i, &j| (ratio(i), self.basic[i]).cmp(&(ratio(j), self.basic[j])))
            else {
                return false;
            };
            self.pivot(row, column);
        }
    }

    /// Exchanges a basic and a free variable.
    fn pivot(&mut self, row: usize, column: usize) {
        let scale = self.rows[row][column].recip();
        // Solves the row for the entering variable.
        let mut solved: Vec<BigRational> = self.rows[row].iter().map(|a| -a * &scale).collect();
        solved[column] = scale.clone();
        let bound = -&self.bounds[row] * &scale;
        let replace = |coefficients: &mut [BigRational], constant: &mut BigRational| {
            let factor = std::mem::replace(&mut coefficients[column], BigRational::zero());
            if factor.is_zero() {
                return;
            }
            for (c, s) in coefficients.iter_mut().zip(&solved) {
                if !s.is_zero() {
                    *c += &factor * s;
                }
            }
            *constant += factor * &bound;
        };
        for i in (0..self.rows.len()).filter(|&i| i != row) {
            replace(&mut self.rows[i], &mut self.bounds[i]);
        }
        replace(&mut self.objective, &mut self.value);
        self.rows[row] = solved;
        self.bounds[row] = bound;
        std::mem::swap(&mut self.basic[row], &mut self.free[column]);
    }

    /// Moves to a point that satisfies all constraints. Returns false if there is none.
    fn make_feasible(&mut self) -> bool {
        let Some(worst) = (0..self.bounds.len()).min_by(|&i, &j| self.bounds[i].cmp(&self.bounds[j])) else {
            return true;
        };
        if !self.bounds[worst].is_negative() {
            return true;
        }
        // An additional variable relaxes every constraint; its smallest value is sought.
        let artificial = usize::MAX;
        self.free.push(artificial);
        self.rows.iter_mut().for_each(|row| row.push(BigRational::one()));
        let columns = self.free.len();
        let objective = std::mem::replace(&mut self.objective, vec![BigRational::zero(); columns]);
        let names: Vec<usize> = self.free[..columns - 1].to_vec();
        self.objective[columns - 1] = -BigRational::one();
        self.pivot(worst, columns - 1);
        self.climb();
        if self.work.is_spent() || self.value.is_negative() {
            return false;
        }
        if let Some(row) = self.basic.iter().position(|&v| v == artificial) {
            // It is zero, so any free variable may replace it.
            match (0..columns).find(|&j| !self.rows[row][j].is_zero()) {
                Some(column) => self.pivot(row, column),
                None => unreachable!("the artificial variable depends on some free variable"),
            }
        }
        let column = self.free.iter().position(|&v| v == artificial).expect("it is free now");
        self.free.remove(column);
        self.rows.iter_mut().for_each(|row| drop(row.remove(column)));
        // Writes the objective in the variables that are free now.
        self.value = BigRational::zero();
        self.objective = vec![BigRational::zero(); self.free.len()];
        for (name, c) in names.iter().zip(objective) {
            if let Some(j) = self.free.iter().position(|v| v == name) {
                self.objective[j] += c;
            } else if let Some(i) = self.basic.iter().position(|v| v == name) {
                for (o, a) in self.objective.iter_mut().zip(&self.rows[i]) {
                    *o += &c * a;
                }
                self.value += &c * &self.bounds[i];
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rational::whole;

    fn numbers(x: &[i64]) -> Vec<BigRational> {
        x.iter().map(|&x| whole(x)).collect()
    }

    #[test]
    fn small_programs_have_the_solutions_found_by_hand() {
        let work = Work::default();
        let rows = |x: &[&[i64]]| x.iter().map(|r| numbers(r)).collect::<Vec<_>>();
        // max x + y, x + 2y ≤ 4, 3x + y ≤ 6: at (8/5, 6/5).
        let found = maximise(&numbers(&[1, 1]), &rows(&[&[1, 2], &[3, 1]]), &numbers(&[4, 6]), &work);
        let fifths = |a: i64| BigRational::new(a.into(), 5.into());
        assert_eq!(found, Solution::Optimal { value: fifths(14), point: vec![fifths(8), fifths(6)] });
        // Zero is not feasible: min x + y with x + y ≥ 2, x ≤ 1.
        let found = maximise(&numbers(&[-1, -1]), &rows(&[&[-1, -1], &[1, 0]]), &numbers(&[-2, 1]), &work);
        assert!(matches!(found, Solution::Optimal { value, .. } if value == whole(-2)));
        let found = maximise(&numbers(&[1]), &rows(&[&[1], &[-1]]), &numbers(&[1, -2]), &work);
        assert_eq!(found, Solution::Infeasible);
        assert_eq!(maximise(&numbers(&[1]), &rows(&[&[-1]]), &numbers(&[1]), &work), Solution::Unbounded);
        // Equality by two rows, and a degenerate vertex.
        let found = maximise(
            &numbers(&[2, 3]),
            &rows(&[&[1, 1], &[-1, -1], &[1, -1]]),
            &numbers(&[1, -1, -1]),
            &work,
        );
        assert_eq!(found, Solution::Optimal { value: whole(3), point: numbers(&[0, 1]) });
        let found = maximise(&numbers(&[1, 1]), &rows(&[&[1, 2], &[3, 1]]), &numbers(&[4, 6]), &Work::new(2));
        assert_eq!(found, Solution::Stopped);
    }
}
