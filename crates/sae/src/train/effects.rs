//! The settings of a run that cannot take effect.

use crate::train::config::TrainingConfig;
use crate::{SaeError, Variant};

impl TrainingConfig {
    /// Returns the settings that cannot take effect in a run of a member, each in a sentence; empty if every setting can.
    ///
    /// These are λ = 0 for a member with a penalty, λ and [`TargetL0`](crate::TargetL0) for a member without one, AuxK of a run that
    /// ends before any latent counts as dead, and resampling that is over by then. [`Training::new`](crate::Training::new) accepts all of
    /// them: an ablation may want them.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] for a value outside its range.
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{TopK, TrainingConfig, Variant};
    /// let variant = Variant::from(TopK::new(32).with_aux(512));
    /// // 768,000 rows, while a latent counts as dead after a million by default.
    /// let short = TrainingConfig { steps: 375, batch: 2048, ..TrainingConfig::default() };
    /// let found = short.without_effect(&variant)?;
    /// assert_eq!(found.len(), 1);
    /// assert!(found[0].starts_with("AuxK has no effect: a latent counts as dead after 1000000 rows"));
    /// let shorter_wait = TrainingConfig { dead_after_rows: 100_000, ..short };
    /// assert!(shorter_wait.without_effect(&variant)?.is_empty());
    /// # Ok::<(), collimate_sae::SaeError>(())
    /// ```
    pub fn without_effect(&self, variant: &Variant) -> Result<Vec<String>, SaeError> {
        self.schedule()?;
        let (member, name) = (variant.member(), variant.name());
        let lambda = self.l1.penalty(1);
        let mut found = Vec::new();
        match (member.penalised, lambda == 0.0) {
            (true, true) => {
                found.push(format!("λ is 0, so that nothing makes the codes of a {name} dictionary sparse"));
            }
            (false, false) => found.push(format!("λ has no effect: a {name} dictionary has no penalty")),
            _ => {}
        }
        if self.target_l0.is_some() && (!member.penalised || lambda == 0.0) {
            found.push(format!(
                "the target of L0 has no effect: it changes λ by a factor, and {}",
                if member.penalised { "λ is 0".to_owned() } else { format!("a {name} dictionary has none") }
            ));
        }
        let dead_after = self.dead_after_rows;
        let first = |what: &str, rows: u64| {
            format!(
                "{what} has no effect: a latent counts as dead after {dead_after} rows without activity, but only {rows} rows come before"
            )
        };
        // A step counts the rows of the steps before it.
        let before_last = (self.steps - 1).saturating_mul(self.batch as u64);
        if member.aux.is_some() && before_last < dead_after {
            found.push(first("AuxK", before_last));
        }
        if let Some(resampling) = self.resampling {
            // Resampling counts the rows of its own step too.
            let last = self.steps.min(resampling.until) / resampling.every * resampling.every;
            let rows = last.saturating_mul(self.batch as u64);
            if last == 0 || rows < dead_after {
                found.push(first("resampling", rows));
            }
        }
        Ok(found)
    }
}
