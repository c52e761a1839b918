//! Transcoders of several layers on a small model that is made here: their latents, and all layers in the model.

use super::{model, run};
use collimate_stream::RngStream;
use collimate_tensor::files::{FileArray, FileData, Safetensors, write_safetensors};
use std::path::Path;

const LATENTS: usize = 6;
const LAYERS: usize = 2;

/// Runs a line of words, and returns its exit status, its standard output and its standard error stream.
fn line(folder: &Path, line: &str) -> (i32, String, String) {
    run(folder, &line.split_whitespace().collect::<Vec<_>>())
}

/// Runs a line of words that must succeed, and returns its standard output.
fn done(folder: &Path, words: &str) -> String {
    let (status, out, said) = line(folder, words);
    assert_eq!(status, 0, "{words}: {said}");
    out
}

/// Runs a line of words that must be refused with these words, before anything is printed.
fn refused(folder: &Path, words: &str, expected: &[&str]) {
    let (status, out, said) = line(folder, words);
    assert!(status == 2 && out.is_empty(), "{words}: {out}{said}");
    expected.iter().for_each(|expected| assert!(said.contains(expected), "{words}: {expected}: {said}"));
}

fn array(stream: &mut RngStream, shape: &[usize], scale: f32) -> FileArray {
    let numbers = (0..shape.iter().product()).map(|_| scale * stream.normal() as f32).collect();
    FileArray::new(shape.to_vec(), FileData::F32(numbers)).unwrap()
}

/// Writes a set of transcoders and a cross-layer transcoder that read the input of the MLP. `scale` multiplies everything that they write.
fn write_transcoders(folder: &Path, scale: f32) {
    let mut stream = RngStream::new(4, 0);
    for (name, kind) in [("set", "transcoder_set"), ("cross", "cross_layer_transcoder")] {
        let at = folder.join(name);
        std::fs::create_dir_all(&at).unwrap();
        let about = format!(
            "model_kind: {kind}\nfeature_input_hook: mlp.hook_in\nfeature_output_hook: hook_mlp_out\n"
        );
        std::fs::write(at.join("config.yaml"), about).unwrap();
        for layer in 0..LAYERS {
            let encoder = array(&mut stream, &[LATENTS, model::WIDTH], 1.0);
            let (b_enc, b_dec) =
                (array(&mut stream, &[LATENTS], 0.1), array(&mut stream, &[model::WIDTH], scale));
            let named = |name: &str| format!("{name}_{layer}");
            let file = |name: &str| at.join(format!("{name}_{layer}.safetensors"));
            if name == "set" {
                let decoder = array(&mut stream, &[LATENTS, model::WIDTH], scale);
                let tensors = [("W_enc", encoder), ("W_dec", decoder), ("b_enc", b_enc), ("b_dec", b_dec)];
                write_safetensors(file("layer"), &tensors, &[]).unwrap();
            } else {
                let decoder = array(&mut stream, &[LATENTS, LAYERS - layer, model::WIDTH], scale);
                let (w_enc, b_enc_name, b_dec_name, w_dec) =
                    (named("W_enc"), named("b_enc"), named("b_dec"), named("W_dec"));
                let tensors = [(w_enc.as_str(), encoder), (&b_enc_name, b_enc), (&b_dec_name, b_dec)];
                write_safetensors(file("W_enc"), &tensors, &[]).unwrap();
                write_safetensors(file("W_dec"), &[(w_dec.as_str(), decoder)], &[]).unwrap();
            }
        }
    }
}

/// Makes the model, a text, the rows of the inputs and the outputs of both MLPs, and the transcoders.
fn prepared(scale: f32) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path();
    model::write(&folder.join("model.gguf"));
    std::fs::write(folder.join("text.txt"), "some words, ".repeat(20)).unwrap();
    for layer in 0..LAYERS {
        for (site, name) in [("mlp-input", "in"), ("mlp-output", "out")] {
            let capture =
                format!("activations --quiet {MODEL} --layer {layer} --site {site} --output {name}{layer}");
            done(folder, &capture);
        }
    }
    write_transcoders(folder, scale);
    root
}

const MODEL: &str = "--model model.gguf --corpus text.txt";
const PLACES: &str = "--activations in0 --activations in1 --target out0 --target out1 --quiet";

#[test]
fn the_latents_of_each_layer_are_shown_where_they_fire() {
    let root = prepared(1.0);
    let folder = root.path();
    for set in ["set", "cross"] {
        done(
            folder,
            &format!("sae encode --sae {set} --input in0 --input in1 --dense --output codes --force"),
        );
        let codes = Safetensors::open(folder.join("codes")).unwrap().read("feature_acts").unwrap().to_f64();
        assert_eq!(codes.shape()[0], LAYERS);
        let mut shown = Vec::new();
        for layer in 0..LAYERS {
            let top = format!("sae top {set} {MODEL} --layer {layer} --latent 0,1,2,3,4,5 --quiet");
            let text = done(folder, &format!("{top} --force --html page.html"));
            assert!(text.contains("latent 5 fires on") && text.contains("raises"), "{text}");
            let page = std::fs::read_to_string(folder.join("page.html")).unwrap();
            let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
            let data: serde_json::Value = serde_json::from_str(data).unwrap();
            let of_layer = codes.index_axis(ndarray::Axis(0), layer);
            for latent in 0..LATENTS {
                let of_latent = of_layer.index_axis(ndarray::Axis(1), latent);
                let largest = of_latent.iter().fold(0.0_f64, |a, &b| a.max(b));
                let found = data["latents"][latent]["range"][1].as_f64().unwrap();
                // The rows of the shards are rounded to half precision. Their length is √16, and an encoder row is at most 8 long.
                assert!(
                    (found - largest).abs() < 8.0 * 4.0 / 1024.0,
                    "{set}, {layer}, {latent}: {found} {largest}"
                );
            }
            let architecture = data["architecture"].as_str().unwrap().to_owned();
            shown.push((architecture, data["latents"][0]["effects"]["raised"].clone()));
        }
        let names = ["set of transcoders", "cross-layer transcoder"];
        assert!(names.contains(&shown[0].0.as_str()) && shown[0] != shown[1]);
        // The site of the file counts, unless another one is wanted.
        refused(
            folder,
            &format!("sae top {set} {MODEL} --layer 0 --site residual-mid"),
            &["the site: residual-mid and not mlp-input"],
        );
        done(
            folder,
            &format!("sae top {set} {MODEL} --layer 0 --site residual-mid --allow-mismatch --quiet"),
        );
        refused(
            folder,
            &format!("sae top {set} {MODEL} --layer 2"),
            &["--layer must be below 2", shown[0].0.as_str()],
        );
        std::fs::remove_file(folder.join(set).join("config.yaml")).unwrap();
        refused(folder, &format!("sae top {set} {MODEL} --layer 0"), &["--site", "which activation"]);
        done(folder, &format!("sae top {set} {MODEL} --layer 0 --site mlp-input --quiet"));
    }
}

/// Returns the value of a quantity and of its null model among the lines that belong to no layer.
fn in_model(out: &str, quantity: &str) -> [f64; 2] {
    let lines = out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let found: Vec<_> = lines
        .filter(|line| line["measured"]["quantity"] == quantity && line["layer"].is_null())
        .map(|line| [&line["measured"]["value"], &line["null"]].map(|v| v.as_f64().unwrap()))
        .collect();
    assert_eq!(found.len(), 1, "{out}");
    found[0]
}

#[test]
fn all_layers_of_a_transcoder_replace_the_mlps_of_the_model() {
    let root = prepared(0.0);
    let folder = root.path();
    for set in ["set", "cross"] {
        let eval = format!("sae eval {set} {PLACES} --in-model {MODEL}");
        // It predicts zeros, and so does its null model: the loss of the ablation is the loss with the transcoder.
        let out = done(folder, &format!("{eval} --json"));
        assert_eq!(in_model(&out, "loss recovered (against zero)"), [0.0, 0.0]);
        assert_eq!(in_model(&out, "KL recovered (against zero)"), [0.0, 0.0]);
        assert_eq!(out.lines().filter(|line| line.contains("densities")).count(), LAYERS);
        let text = done(folder, &eval);
        assert!(text.contains("layer 1:") && text.contains("all layers in the model:"), "{text}");
        refused(folder, &format!("{eval} --layer 1"), &["--layer is for dictionaries of one layer"]);
        refused(folder, &format!("{eval} --max-norm 3"), &["--max-norm", "--in-model"]);
        refused(
            folder,
            &format!("{eval} --site residual-mid"),
            &["the site: residual-mid and not mlp-input"],
        );
        // Rows of another place are refused too.
        let others =
            eval.replace("--activations in0 --activations in1", "--activations out0 --activations out1");
        refused(folder, &others, &["the site: mlp-output and not mlp-input"]);
    }
    // Transcoders that predict something else than the MLP are refused.
    let config = folder.join("set/config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("hook_mlp_out", "hook_resid_post")).unwrap();
    let eval = format!("sae eval set {PLACES} --in-model {MODEL}");
    refused(folder, &eval, &["hook_mlp_out", "hook_resid_post"]);
    // With something to write the prediction is another one than zeros.
    write_transcoders(folder, 0.5);
    for set in ["set", "cross"] {
        let out = done(folder, &format!("sae eval {set} {PLACES} --in-model {MODEL} --json"));
        let [measured, null] = in_model(&out, "loss recovered (against zero)");
        assert!(measured != 0.0 && measured != null, "{measured} {null}");
    }
}
