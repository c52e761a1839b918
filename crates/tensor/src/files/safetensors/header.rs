use super::super::array::{ElementType, checked_len};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use std::collections::BTreeMap;

/// The name of the entry of the header that is no tensor but free text.
pub(super) const METADATA: &str = "__metadata__";

/// The entry of one tensor in the header.
#[derive(serde::Deserialize)]
pub(super) struct Info {
    pub(super) dtype: String,
    pub(super) shape: Vec<usize>,
    pub(super) data_offsets: (u64, u64),
}

/// Returns the element type of a name, if it can be read, and the number of bits of an element, if it is known.
pub(super) fn element_type(dtype: &str) -> (Option<ElementType>, Option<usize>) {
    let element = match dtype {
        "BOOL" => ElementType::Bool,
        "U8" => ElementType::U8,
        "U16" => ElementType::U16,
        "U32" => ElementType::U32,
        "U64" => ElementType::U64,
        "I8" => ElementType::I8,
        "I16" => ElementType::I16,
        "I32" => ElementType::I32,
        "I64" => ElementType::I64,
        "F8_E4M3" => ElementType::F8E4M3,
        "F8_E5M2" => ElementType::F8E5M2,
        "F8_E4M3FNUZ" => ElementType::F8E4M3Fnuz,
        "F8_E5M2FNUZ" => ElementType::F8E5M2Fnuz,
        "F8_E8M0" => ElementType::F8E8M0,
        "F16" => ElementType::F16,
        "BF16" => ElementType::Bf16,
        "F32" => ElementType::F32,
        "F64" => ElementType::F64,
        "F4" => return (None, Some(4)),
        "F6_E2M3" | "F6_E3M2" => return (None, Some(6)),
        "C64" => return (None, Some(64)),
        _ => return (None, None),
    };
    (Some(element), Some(8 * element.bytes()))
}

/// Checks that the tensors lie one behind another without gaps and that each shape fills its range. Returns the number of bytes.
pub(super) fn check_ranges(tensors: &BTreeMap<String, Info>) -> Result<u64, String> {
    let mut in_order: Vec<_> = tensors.iter().collect();
    in_order.sort_by_key(|(_, info)| info.data_offsets);
    let mut next = 0;
    for (name, info) in in_order {
        let (start, end) = info.data_offsets;
        if start != next || end < start {
            return Err(format!("tensor '{name}': invalid offsets {start} to {end} behind byte {next}"));
        }
        next = end;
        let shape = &info.shape;
        let elements =
            checked_len(shape).ok_or_else(|| format!("tensor '{name}': the shape {shape:?} overflows"))?;
        // The size of an unknown type is whatever its range says.
        let Some(bits) = element_type(&info.dtype).1 else { continue };
        if (elements as u128 * bits as u128) != u128::from(end - start) * 8 {
            let given = end - start;
            return Err(format!(
                "tensor '{name}': invalid shape {shape:?} of {} for {given} bytes",
                info.dtype
            ));
        }
    }
    Ok(next)
}

/// The header as JSON, read entry by entry. The reader of the `safetensors` crate first buffers every value, which takes tens
/// of times the size of the header, and accepts repeated names.
pub(super) struct Header {
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) tensors: BTreeMap<String, Info>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let (mut metadata, mut tensors) = (None, BTreeMap::new());
                while let Some(name) = map.next_key::<String>()? {
                    if name == METADATA {
                        // Some writers store the absence of free text as null.
                        let text: Option<Texts> = map.next_value()?;
                        if metadata.replace(text.map(|text| text.0).unwrap_or_default()).is_some() {
                            return Err(A::Error::custom(format!("'{METADATA}' is listed twice")));
                        }
                        continue;
                    }
                    let info = map.next_value()?;
                    if tensors.insert(name.clone(), info).is_some() {
                        return Err(A::Error::custom(format!("the tensor '{name}' is listed twice")));
                    }
                }
                Ok(Header { metadata: metadata.unwrap_or_default(), tensors })
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// The free text of a header. A key that is given twice is an error, because one of its values would be lost.
struct Texts(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Texts;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let mut texts = BTreeMap::new();
                while let Some((key, text)) = map.next_entry::<String, String>()? {
                    if texts.insert(key.clone(), text).is_some() {
                        return Err(A::Error::custom(format!("the metadata '{key}' are listed twice")));
                    }
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
