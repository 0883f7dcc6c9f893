//! The values that a history's registers and keys hold, each once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::operation::Value;

/// Numbers for values; equal values have equal numbers. [`Value::NIL`] is the empty string.
#[derive(Clone, Debug)]
pub struct Values {
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, Value>,
}

impl Default for Values {
    fn default() -> Values {
        let mut values = Values { texts: Vec::new(), numbers: HashMap::new() };
        values.number("");
        values
    }
}

impl Values {
    /// The number of a value, a new one if it is new.
    pub fn number(&mut self, text: &str) -> Value {
        if let Some(value) = self.numbers.get(text) {
            return *value;
        }
        let value = Value(u32::try_from(self.texts.len()).expect("a history has fewer values"));
        let text: Arc<str> = text.into();
        self.texts.push(text.clone());
        self.numbers.insert(text, value);
        value
    }

    /// The value of a number; `None` if it was never given out.
    pub fn text(&self, value: Value) -> Option<&str> {
        self.texts.get(value.0 as usize).map(|text| &**text)
    }
}
