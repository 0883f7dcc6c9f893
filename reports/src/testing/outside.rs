//! Text from outside, in every place of a value that takes text.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A value with the places in it that take any text. What is a name of a fixed list is none, since the
/// value could not be read back with another.
pub(crate) struct Form<T> {
    json: Value,
    places: Vec<String>,
    of: PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> Form<T> {
    pub(crate) fn of(value: &T) -> Form<T> {
        let mut json = serde_json::to_value(value).expect("it is JSON");
        let mut places = strings(&json);
        places.retain(|place| {
            let before = replace(&mut json, place, "any text".into());
            let takes_text = T::deserialize(&json).is_ok();
            replace(&mut json, place, before);
            takes_text
        });
        Form { json, places, of: PhantomData }
    }

    /// The value with the text of its number in each of the places.
    pub(crate) fn filled(&self, text: &dyn Fn(usize) -> String) -> T {
        let mut json = self.json.clone();
        for (n, place) in self.places.iter().enumerate() {
            replace(&mut json, place, text(n).into());
        }
        serde_json::from_value(json).expect("each of them takes any text")
    }
}

fn replace(json: &mut Value, place: &str, value: Value) -> Value {
    std::mem::replace(json.pointer_mut(place).expect("it is there"), value)
}

/// The pointers of all strings in a value.
fn strings(value: &Value) -> Vec<String> {
    let below = |key: &str, value: &Value| -> Vec<String> {
        let key = key.replace('~', "~0").replace('/', "~1");
        strings(value).into_iter().map(|pointer| format!("/{key}{pointer}")).collect()
    };
    match value {
        Value::String(_) => vec![String::new()],
        Value::Object(object) => object.iter().flat_map(|(key, value)| below(key, value)).collect(),
        Value::Array(list) => {
            let list = list.iter().enumerate();
            list.flat_map(|(n, value)| below(&n.to_string(), value)).collect()
        }
        _ => Vec::new(),
    }
}
