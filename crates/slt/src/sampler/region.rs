use crate::SltError;
use collimate_measure::{ensure, same_length};

/// The treatment of a move that leaves the box.
///
/// Setting the coordinate to the wall (clamping) is not offered. It puts an atom of probability on the wall and so changes
/// the sampled law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// The move is reflected at the wall.
    Reflect,
    /// The move is rejected.
    Reject,
}

/// The region of a chain: an optional box, and the coordinates that may move.
///
/// # Examples
/// ```
/// use collimate_slt::{Boundary, Region};
/// let region = Region::cube(2, -1.0, 1.0, Boundary::Reflect)?.moving(&[true, false])?;
/// assert!(region.contains(&[0.5, 1.0]) && !region.contains(&[1.5, 0.0]));
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    dimensions: usize,
    pub(crate) walls: Option<Walls>,
    pub(crate) moving: Option<Vec<bool>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Walls {
    pub(crate) low: Vec<f64>,
    pub(crate) high: Vec<f64>,
    pub(crate) boundary: Boundary,
}

impl Region {
    /// Creates a region without walls in which every coordinate moves.
    pub fn everywhere(dimensions: usize) -> Self {
        Self { dimensions, walls: None, moving: None }
    }

    /// Creates a box with equal bounds for all coordinates.
    ///
    /// # Errors
    /// As [`Region::boxed`].
    pub fn cube(dimensions: usize, low: f64, high: f64, boundary: Boundary) -> Result<Self, SltError> {
        Self::boxed(vec![low; dimensions], vec![high; dimensions], boundary)
    }

    /// Creates a box in which every coordinate is within `radius` of the centre's coordinate.
    ///
    /// # Errors
    /// As [`Region::boxed`].
    pub fn around(centre: &[f64], radius: f64, boundary: Boundary) -> Result<Self, SltError> {
        let shifted = |by: f64| centre.iter().map(|x| x + by).collect();
        Self::boxed(shifted(-radius), shifted(radius), boundary)
    }

    /// Creates a box with bounds for each coordinate.
    ///
    /// # Errors
    /// [`SltError::Length`] if the lists differ in length; [`SltError::OutOfRange`] for a bound that is not finite or an
    /// empty interval.
    pub fn boxed(low: Vec<f64>, high: Vec<f64>, boundary: Boundary) -> Result<Self, SltError> {
        same_length("high", low.len(), high.len())?;
        for (&low, &high) in low.iter().zip(&high) {
            let fits = low.is_finite() && high.is_finite() && low < high;
            ensure(fits, "the width of an interval", "positive and finite", high - low)?;
        }
        Ok(Self { dimensions: low.len(), walls: Some(Walls { low, high, boundary }), moving: None })
    }

    /// Returns this region with only the marked coordinates moving. The other coordinates stay at the centre.
    ///
    /// This is the weight restriction of a refined learning coefficient.
    ///
    /// # Errors
    /// [`SltError::Length`] if the mask has another length; [`SltError::OutOfRange`] if no coordinate moves.
    pub fn moving(mut self, mask: &[bool]) -> Result<Self, SltError> {
        same_length("mask", self.dimensions, mask.len())?;
        ensure(mask.contains(&true), "the number of moving coordinates", "at least 1", 0.0)?;
        self.moving = Some(mask.to_vec());
        Ok(self)
    }

    /// Returns the number of coordinates.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Returns the number of coordinates that move.
    pub fn n_moving(&self) -> usize {
        self.moving.as_ref().map_or(self.dimensions, |mask| mask.iter().filter(|moves| **moves).count())
    }

    /// Returns true if a point lies within the walls.
    pub fn contains(&self, w: &[f64]) -> bool {
        w.len() == self.dimensions
            && self.walls.as_ref().is_none_or(|walls| {
                w.iter().zip(&walls.low).zip(&walls.high).all(|((w, low), high)| (low..=high).contains(&w))
            })
    }

    /// Returns true if the region has walls.
    pub fn is_bounded(&self) -> bool {
        self.walls.is_some()
    }
}
