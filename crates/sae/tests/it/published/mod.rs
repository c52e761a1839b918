//! Dictionaries as other libraries publish them: the cases of their own code, and siblings of each rule.

mod compare;
mod dictionary_learning;
mod gemma_scope;
mod library_cases;
mod llama_scope;
mod qwen_scope;
mod recognition;
mod saelens;
mod sparsify;
