use crate::error::StudyError;
use crate::language_model::setup::LanguageModelSetup;
use collimate_claims::{Context, Meta, Outcome, Study};

/// Makes a claim that needs the model. Where the model is missing, the outcome says how to get it.
pub(super) fn study(
    meta: Meta,
    body: impl Fn(&mut Context, &'static LanguageModelSetup) -> Result<Outcome, StudyError>
    + Send
    + Sync
    + 'static,
) -> Study {
    Study::new(meta.real()).run(move |context| {
        LanguageModelSetup::shared()
            .and_then(|setup| body(context, setup))
            .unwrap_or_else(StudyError::outcome)
    })
}
