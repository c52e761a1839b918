//! An encoder as the model of the claims: what it lacks is an error that says so.

use collimate_claims::{Verdict, Why};
use collimate_studies::StudyError;
use collimate_studies::data::Cache;
use collimate_studies::language_model::LanguageModelSetup;
use collimate_transformer::{Model, ModelFileError, RngStream, RunError, TransformerError};
use std::path::Path;

/// Writes a random BERT with the WordPiece vocabulary of a test into a folder, and opens it as a setup.
fn setup(folder: &Path, class: &str) -> Result<LanguageModelSetup, StudyError> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../transformer/tests/tokenizers/wordpiece_bert");
    let text = std::fs::read_to_string(source.join("tokenizer.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let words = json["model"]["vocab"].as_object().unwrap().len();
    let configuration = format!(
        "{{\"model_type\": \"bert\", \"architectures\": [\"{class}\"], \"vocab_size\": {words}, \"hidden_size\": 8,
           \"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"intermediate_size\": 10, \"max_position_embeddings\": 300}}"
    );
    Model::<f32>::random_of_configuration(&configuration, &RngStream::new(1, 0))
        .unwrap()
        .save(folder)
        .unwrap();
    std::fs::write(folder.join("tokenizer.json"), text).unwrap();
    std::fs::write(folder.join("tokenizer_config.json"), "{\"cls_token\": \"[CLS]\"}").unwrap();
    LanguageModelSetup::open_other(folder, Cache::at(folder.join("cache")))
}

#[test]
fn texts_of_an_encoder_start_with_its_own_token_and_predict_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (class, named) in [("BertModel", "no head"), ("BertForMaskedLM", "is an encoder")] {
        let setup = setup(&folder.path().join(class), class).unwrap();
        assert_eq!(Some(setup.start), setup.tokenizer.id("[CLS]"));
        let sequences =
            setup.sequences([(0, "the cat sat on the mat and the dog sat on the log")], 100).unwrap();
        assert!(sequences.iter().all(|sequence| sequence.tokens[0] == setup.start) && !sequences.is_empty());
        let error = setup.check_predicts().unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
        assert!(matches!(
            &error,
            StudyError::Model(TransformerError::Run(RunError::NoHead | RunError::NotCausal))
        ));
        // A claim about predictions does not run on it, and says why.
        let outcome = error.outcome();
        let Verdict::Inconclusive(Why::Unavailable { missing, how_to_get }) = outcome.verdict else {
            panic!("{:?}", outcome.verdict)
        };
        assert!(missing.contains("predicts the next token") && how_to_get.contains(named), "{how_to_get}");
    }
    // Without the name of that token, the next step is said.
    let plain = folder.path().join("BertModel");
    std::fs::remove_file(plain.join("tokenizer_config.json")).unwrap();
    let error = LanguageModelSetup::open_other(&plain, Cache::at(plain.join("cache"))).err().unwrap();
    assert!(
        matches!(error, StudyError::Model(TransformerError::File(ModelFileError::Tokenizer(_)))),
        "{error}"
    );
}
