//! The program of a description: its operations in order, their slots and their parameters.

use crate::description::{
    self, Arrangement, AttentionDescription, BoundedGate, Description, ExpertWeights, GainForm, HeadNorm,
    HeadNormOver, LayerDescription, MlpDescription, Norm, NormKind, Rotary,
};
use crate::ops::{
    Add, Attend, Bounded, Combine, Embed, ExpertMatrix, Experts, First, Gain, Gate, Linear, Nonlinearity,
    Normalise, PairValues, Rotate, Routing, Scale, Softcap, ValueHeads,
};
use crate::parameters::{ParameterName, Part};
use crate::pass::{AngleTable, Layout, Lookup, Operation, Parameter, Program, Real, Slot, SlotInfo};
use crate::site::{HookPoint, Site};
use collimate_grad::primitive::activation::Activation;
use std::collections::BTreeMap;

/// A program that is being written.
pub(crate) struct Builder<F> {
    operations: Vec<Box<dyn Operation<F>>>,
    slots: Vec<SlotInfo>,
    rotaries: Vec<Rotary>,
    parameters: Vec<(ParameterName, (usize, usize))>,
    known: BTreeMap<ParameterName, Parameter>,
    layer: Option<usize>,
}

/// Writes the program of a description.
pub(crate) fn build<F: Real>(description: &Description) -> Program<F> {
    let builder = Builder {
        operations: Vec::new(),
        slots: Vec::new(),
        rotaries: Vec::new(),
        parameters: Vec::new(),
        known: BTreeMap::new(),
        layer: None,
    };
    builder.model(description)
}

impl<F: Real> Builder<F> {
    fn model(mut self, m: &Description) -> Program<F> {
        let mut x = self.embedding(m);
        let mut residuals = vec![x];
        for (index, layer) in m.layers.iter().enumerate() {
            self.layer = Some(index);
            x = self.one_layer(layer, m.width, x);
            residuals.push(x);
        }
        self.layer = None;
        if let Some(norm) = &m.final_norm {
            let sites = [Site::FinalNormScale, Site::FinalNormalised];
            x = self.shown_norm(norm, m.width, [Part::FinalNormGain, Part::FinalNormBias], sites, x);
        }
        if let Some(width) = m.embedding.projected_from {
            x = self.linear(Part::ProjectOut, None, (width, m.width), x);
        }
        let hidden = x;
        self.name(hidden, Site::FinalHidden);
        let pooled = m.pooler.then(|| {
            let first = self.push(|output| First { input: hidden, output });
            let dense = self.linear(Part::Pooler, Some(Part::PoolerBias), (m.width, m.width), first);
            self.push(|output| Gate { activation: Activation::Tanh, gate: dense, up: None, output })
        });
        let next_sentence = match pooled {
            Some(pooled) if m.next_sentence => {
                Some(self.linear(Part::NextSentence, Some(Part::NextSentenceBias), (2, m.width), pooled))
            }
            _ => None,
        };
        let logits = m.head.as_ref().map(|_| self.head(m, hidden));
        let mut last_use = vec![0; self.slots.len()];
        for (index, operation) in self.operations.iter().enumerate() {
            for slot in operation.inputs().into_iter().chain(operation.outputs()) {
                last_use[slot] = index;
            }
        }
        for slot in [Some(hidden), logits, pooled, next_sentence].into_iter().flatten() {
            last_use[slot] = usize::MAX;
        }
        Program {
            operations: self.operations,
            layout: Layout { slots: self.slots, last_use, rotaries: self.rotaries },
            parameters: self.parameters,
            residuals,
            hidden,
            logits,
            pooled,
            next_sentence,
        }
    }

    fn embedding(&mut self, m: &Description) -> Slot {
        let e = &m.embedding;
        let width = e.projected_from.unwrap_or(m.width);
        let table = self.parameter(Part::TokenEmbedding, (m.vocabulary, width));
        let mut x = self.push(|output| Embed { lookup: Lookup::Token, table, input: None, output });
        if e.scale != 1.0 {
            let input = x;
            x = self.push(|output| Scale { factor: e.scale, input, output });
        }
        if e.projected_from.is_some() {
            x = self.linear(Part::ProjectIn, None, (m.width, width), x);
        }
        if let Some(types) = e.token_types {
            let table = self.parameter(Part::TypeEmbedding, (types, m.width));
            x = self.push(|output| Embed { lookup: Lookup::Type, table, input: Some(x), output });
        }
        if let Some(positions) = e.positions {
            let table = self.parameter(Part::PositionEmbedding, (positions.rows, m.width));
            let lookup = Lookup::Position { offset: positions.offset };
            x = self.push(|output| Embed { lookup, table, input: Some(x), output });
        }
        if let Some(norm) = &e.norm {
            x = self.norm(norm, m.width, [Part::EmbeddingNormGain, Part::EmbeddingNormBias], x);
        }
        self.name(x, Site::Embedding);
        x
    }

    fn one_layer(&mut self, layer: &LayerDescription, width: usize, input: Slot) -> Slot {
        self.name(input, Site::ResidualPre);
        let attention_norm = layer.attention_norm.as_ref();
        let parts = [Part::AttentionNormGain, Part::AttentionNormBias];
        let sites = [Site::AttentionNormScale, Site::AttentionNormalised];
        let normed = attention_norm.map_or(input, |norm| self.shown_norm(norm, width, parts, sites, input));
        self.name(normed, Site::AttentionInput);
        let attention = self.attention(&layer.attention, width, normed);
        self.name(attention, Site::AttentionOutput);
        let added = self.maybe_norm(
            layer.attention_post_norm.as_ref(),
            width,
            [Part::AttentionPostNormGain, Part::AttentionPostNormBias],
            attention,
        );
        self.name(added, Site::AttentionAdded);
        let kept = if layer.residual_is_normed { normed } else { input };
        let factor = layer.branch_scale;
        let mut mid = self.push(|output| Add { a: kept, b: added, factor, output });
        let parts = [Part::MlpNormGain, Part::MlpNormBias];
        let sites = [Site::MlpNormScale, Site::MlpNormalised];
        let mlp_norm = layer.mlp_norm.as_ref();
        let norm_mlp =
            |s: &mut Self, x: Slot| mlp_norm.map_or(x, |norm| s.shown_norm(norm, width, parts, sites, x));
        let (mlp_input, kept) = match layer.arrangement {
            Arrangement::Sequential => {
                let parts = [Part::AttentionSumNormGain, Part::AttentionSumNormBias];
                mid = self.maybe_norm(layer.sum_norm.as_ref(), width, parts, mid);
                self.name(mid, Site::ResidualMid);
                let normed = norm_mlp(self, mid);
                (normed, if layer.residual_is_normed { normed } else { mid })
            }
            Arrangement::ParallelOneNorm => (normed, mid),
            Arrangement::ParallelTwoNorms => (norm_mlp(self, input), mid),
        };
        self.name(mlp_input, Site::MlpInput);
        let mlp = self.mlp(&layer.mlp, width, mlp_input);
        self.name(mlp, Site::MlpOutput);
        let parts = [Part::MlpPostNormGain, Part::MlpPostNormBias];
        let added = self.maybe_norm(layer.mlp_post_norm.as_ref(), width, parts, mlp);
        self.name(added, Site::MlpAdded);
        let mut out = self.push(|output| Add { a: kept, b: added, factor, output });
        out = self.maybe_norm(
            layer.sum_norm.as_ref(),
            width,
            [Part::MlpSumNormGain, Part::MlpSumNormBias],
            out,
        );
        self.name(out, Site::ResidualPost);
        out
    }

    fn attention(&mut self, a: &AttentionDescription, width: usize, input: Slot) -> Slot {
        let bias = |part| a.input_bias.then_some(part);
        let (queries, keys) = (a.heads * a.head_width, a.key_heads * a.head_width);
        let mut q = self.linear(Part::Query, bias(Part::QueryBias), (queries, width), input);
        let mut k = self.linear(Part::Key, bias(Part::KeyBias), (keys, width), input);
        let mut v = self.linear(Part::Value, bias(Part::ValueBias), (keys, width), input);
        for (slot, site, heads) in
            [(q, Site::Query, a.heads), (k, Site::Key, a.key_heads), (v, Site::Value, a.key_heads)]
        {
            self.name(slot, site);
            self.slots[slot].heads = Some(heads);
        }
        if let Some(norm) = &a.head_norm {
            q = self.head_norm(norm, (a.heads, a.head_width), [Part::QueryNormGain, Part::QueryNormBias], q);
            k = self.head_norm(norm, (a.key_heads, a.head_width), [Part::KeyNormGain, Part::KeyNormBias], k);
        }
        if let Some(rotary) = &a.rotary {
            let table = self.table(rotary);
            let head_width = a.head_width;
            for x in [&mut q, &mut k] {
                let input = *x;
                *x = self.push(|output| Rotate { table, head_width, input, output });
            }
        }
        for (slot, site, heads) in [(q, Site::QueryTurned, a.heads), (k, Site::KeyTurned, a.key_heads)] {
            self.name(slot, site);
            self.slots[slot].heads = Some(heads);
        }
        let sinks = a.sinks.then(|| self.parameter(Part::Sinks, (1, a.heads)));
        let mut values = ValueHeads::LikeKeys;
        if a.differential.is_some() {
            values = ValueHeads::Halves;
            let input = v;
            let (heads, key_heads) = (a.heads, a.key_heads);
            v = self.push(|output| PairValues { heads, key_heads, input, output });
        }
        let layer = self.layer.unwrap_or_default();
        let shown = [(); 2].map(|()| self.slot());
        let mut z = self.push(|output| Attend {
            layer,
            heads: a.heads,
            key_heads: a.key_heads,
            values,
            scale: a.scale,
            softcap: a.softcap,
            causal: a.causal,
            window: a.window,
            alibi: a.alibi.clone(),
            sinks,
            q,
            k,
            v,
            shown,
            output,
        });
        if let Some(differential) = a.differential {
            let parts = [Part::LambdaQuery1, Part::LambdaKey1, Part::LambdaQuery2, Part::LambdaKey2];
            let lambda = parts.map(|part| self.parameter(part, (1, a.head_width)));
            let (input, lambda_init) = (z, differential.lambda_init);
            let difference = self.push(|output| Combine { lambda_init, lambda, input, output });
            let (kind, epsilon, groups) = (NormKind::RootMeanSquare, differential.epsilon, a.heads / 2);
            let normed = self.push(|output| Normalise {
                kind,
                epsilon,
                groups,
                scale: None,
                input: difference,
                output,
            });
            let factor = 1.0 - lambda_init;
            z = self.push(|output| Scale { factor, input: normed, output });
        }
        self.name(z, Site::HeadOutput);
        self.slots[z].heads = Some(a.heads);
        let weight = self.parameter(Part::AttentionOutput, (width, queries));
        let bias = a.output_bias.then(|| self.parameter(Part::AttentionOutputBias, (1, width)));
        let results = Some((Site::HeadResult.of_layer(layer), a.heads));
        self.push(|output| Linear { weight, bias, results, input: z, output })
    }

    fn mlp(&mut self, m: &MlpDescription, width: usize, input: Slot) -> Slot {
        if let Some(experts) = &m.experts {
            return self.experts(m, experts, width, input);
        }
        let bias = |part| m.bias.then_some(part);
        let gate = m.gated.then(|| self.linear(Part::Gate, bias(Part::GateBias), (m.width, width), input));
        let up = self.linear(Part::Up, bias(Part::UpBias), (m.width, width), input);
        self.name(up, Site::MlpUp);
        if let Some(gate) = gate {
            self.name(gate, Site::MlpGate);
        }
        let (gate, up) = gate.map_or((up, None), |gate| (gate, Some(up)));
        let activation = m.activation;
        let hidden = self.push(|output| Gate { activation, gate, up, output });
        self.name(hidden, Site::MlpNeurons);
        self.linear(Part::Down, bias(Part::DownBias), (width, m.width), hidden)
    }

    fn experts(&mut self, m: &MlpDescription, e: &description::Experts, width: usize, input: Slot) -> Slot {
        let count = e.count;
        let bias = e.router_bias.then_some(Part::RouterBias);
        let router = self.linear(Part::Router, bias, (count, width), input);
        self.name(router, Site::RouterLogits);
        let mut matrix = |weight, bias, (outputs, inputs): (usize, usize)| ExpertMatrix {
            weight: self.parameter(weight, (count * outputs, inputs)),
            bias: m.bias.then(|| self.parameter(bias, (count, outputs))),
        };
        let gated = m.gated || e.bounded_gate.is_some();
        let gate = gated.then(|| matrix(Part::ExpertGate, Part::ExpertGateBias, (m.width, width)));
        let up = matrix(Part::ExpertUp, Part::ExpertUpBias, (m.width, width));
        let down = matrix(Part::ExpertDown, Part::ExpertDownBias, (width, m.width));
        let (gate, up) = gate.map_or((up, None), |gate| (gate, Some(up)));
        let over_all = e.weights == ExpertWeights::SoftmaxOfAll;
        let routing = Routing { chosen: e.chosen, over_all };
        let nonlinearity = match e.bounded_gate {
            Some(BoundedGate { limit, slope }) => Nonlinearity::Bounded(Bounded { limit, slope }),
            None => Nonlinearity::Plain(m.activation),
        };
        self.push(|output| Experts { count, routing, nonlinearity, gate, up, down, input, router, output })
    }

    fn head(&mut self, m: &Description, hidden: Slot) -> Slot {
        let head = m.head.as_ref().expect("a model with a head");
        let width = m.embedding.projected_from.unwrap_or(m.width);
        let mut x = hidden;
        if let Some((activation, norm)) = &head.transform {
            let dense = self.linear(Part::HeadTransform, Some(Part::HeadTransformBias), (width, width), x);
            let active = self.push(|output| Gate { activation: *activation, gate: dense, up: None, output });
            x = self.norm(norm, width, [Part::HeadTransformNormGain, Part::HeadTransformNormBias], active);
        }
        let part = if head.tied { Part::TokenEmbedding } else { Part::Head };
        let mut logits = self.linear(part, head.bias.then_some(Part::HeadBias), (m.vocabulary, width), x);
        if head.scale != 1.0 {
            let input = logits;
            logits = self.push(|output| Scale { factor: head.scale, input, output });
        }
        if let Some(cap) = head.softcap {
            let input = logits;
            logits = self.push(|output| Softcap { cap, input, output });
        }
        self.name(logits, Site::Logits);
        logits
    }

    fn maybe_norm(&mut self, norm: Option<&Norm>, width: usize, parts: [Part; 2], input: Slot) -> Slot {
        norm.map_or(input, |norm| self.norm(norm, width, parts, input))
    }

    fn norm(&mut self, norm: &Norm, width: usize, parts: [Part; 2], input: Slot) -> Slot {
        self.groups_norm(norm, 1, (1, width), parts, None, input)
    }

    /// Adds a norm whose divisor and normalised input are hook points.
    fn shown_norm(
        &mut self,
        norm: &Norm,
        width: usize,
        parts: [Part; 2],
        sites: [Site; 2],
        input: Slot,
    ) -> Slot {
        self.groups_norm(norm, 1, (1, width), parts, Some(sites), input)
    }

    fn head_norm(
        &mut self,
        norm: &HeadNorm,
        (heads, width): (usize, usize),
        parts: [Part; 2],
        input: Slot,
    ) -> Slot {
        let (groups, gain) = match norm.over {
            HeadNormOver::SharedGain => (heads, (1, width)),
            HeadNormOver::OwnGain => (heads, (heads, width)),
            HeadNormOver::AllHeads => (1, (1, heads * width)),
        };
        self.groups_norm(&norm.norm, groups, gain, parts, None, input)
    }

    fn groups_norm(
        &mut self,
        norm: &Norm,
        groups: usize,
        shape: (usize, usize),
        [gain_part, bias_part]: [Part; 2],
        sites: Option<[Site; 2]>,
        input: Slot,
    ) -> Slot {
        let &Norm { kind, epsilon, .. } = norm;
        let layer = self.layer.unwrap_or_default();
        let scale = sites.map(|[scale, _]| scale.of_layer(layer));
        let normed = self.push(|output| Normalise { kind, epsilon, groups, scale, input, output });
        if let Some([_, normalised]) = sites {
            self.name(normed, normalised);
        }
        let offset = if norm.gain == GainForm::PlusOne { 1.0 } else { 0.0 };
        let gain = (norm.gain != GainForm::None).then(|| self.parameter(gain_part, shape));
        let bias = norm.bias.then(|| self.parameter(bias_part, shape));
        if gain.is_none() && bias.is_none() {
            return normed;
        }
        self.push(|output| Gain { gain, offset, bias, input: normed, output })
    }

    fn linear(&mut self, weight: Part, bias: Option<Part>, shape: (usize, usize), input: Slot) -> Slot {
        let weight = self.parameter(weight, shape);
        let bias = bias.map(|bias| self.parameter(bias, (1, shape.0)));
        self.push(|output| Linear { weight, bias, results: None, input, output })
    }

    fn table(&mut self, rotary: &Rotary) -> AngleTable {
        self.rotaries.iter().position(|known| known == rotary).unwrap_or_else(|| {
            self.rotaries.push(rotary.clone());
            self.rotaries.len() - 1
        })
    }

    fn parameter(&mut self, part: Part, shape: (usize, usize)) -> Parameter {
        let layer = if part == Part::TokenEmbedding { None } else { self.layer };
        let name = ParameterName { layer, part };
        *self.known.entry(name).or_insert_with(|| {
            self.parameters.push((name, shape));
            self.parameters.len() - 1
        })
    }

    /// Adds an operation with one output.
    fn push<O: Operation<F> + 'static>(&mut self, make: impl FnOnce(Slot) -> O) -> Slot {
        let slot = self.slot();
        self.operations.push(Box::new(make(slot)));
        slot
    }

    fn slot(&mut self) -> Slot {
        self.slots.push(SlotInfo { points: Vec::new(), heads: None });
        self.slots.len() - 1
    }

    fn name(&mut self, slot: Slot, site: Site) {
        self.slots[slot].points.push(HookPoint { layer: self.layer.unwrap_or_default(), site });
    }
}
