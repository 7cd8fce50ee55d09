//! What a hyperparameter's column holds.

use arrow::datatypes::{DataType, Field, FieldRef};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The narrowest column type that holds every value seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// Nothing but null so far; a text column until something comes.
    Null,
    /// `true` and `false`.
    Bool,
    /// Whole numbers of 64 bits.
    Int,
    /// Numbers.
    Float,
    /// Strings.
    Text,
    /// Lists of one scalar kind.
    List(Box<Kind>),
    /// Anything else and mixtures, as JSON text.
    Json,
}

impl Kind {
    /// The kind of one value.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_i64() => Self::Int,
            Value::Number(number) if number.is_f64() => Self::Float,
            Value::String(_) => Self::Text,
            Value::Array(items) => match items.iter().map(Self::of).fold(Self::Null, Self::join) {
                Self::List(_) | Self::Json => Self::Json,
                scalar => Self::List(Box::new(scalar)),
            },
            Value::Number(_) | Value::Object(_) => Self::Json,
        }
    }

    /// The narrowest kind that holds both.
    pub(super) fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Null, kind) | (kind, Self::Null) => kind,
            (Self::Int, Self::Float) | (Self::Float, Self::Int) => Self::Float,
            (Self::List(left), Self::List(right)) => match left.join(*right) {
                Self::Json => Self::Json,
                scalar => Self::List(Box::new(scalar)),
            },
            (left, right) if left == right => left,
            _ => Self::Json,
        }
    }

    /// The column's type.
    pub(super) fn data_type(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Null | Self::Text | Self::Json => DataType::Utf8,
            Self::List(item) => DataType::List(item.element()),
        }
    }

    /// The field of a list's items, named as the parquet format wants it.
    pub(super) fn element(&self) -> FieldRef {
        Field::new("element", self.data_type(), true).into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop_assert_eq, proptest};
    use serde_json::json;

    use super::*;

    fn list(item: Kind) -> Kind {
        Kind::List(Box::new(item))
    }

    #[test]
    fn values_have_the_narrowest_kind() {
        for (value, kind) in [
            (json!(null), Kind::Null),
            (json!(true), Kind::Bool),
            (json!(-3), Kind::Int),
            (json!(3.0), Kind::Float),
            (json!("Unet"), Kind::Text),
            (json!([]), list(Kind::Null)),
            (json!([1, null]), list(Kind::Int)),
            (json!([1, 0.5]), list(Kind::Float)),
            (json!(["red", "nir"]), list(Kind::Text)),
            (json!([1, "red"]), Kind::Json),
            (json!([[1], [2]]), Kind::Json),
            (json!({"a": 1}), Kind::Json),
            (json!(u64::MAX), Kind::Json),
        ] {
            assert_eq!(Kind::of(&value), kind, "{value}");
        }
    }

    fn any_kind() -> impl Strategy<Value = Kind> {
        let scalars = [Kind::Null, Kind::Bool, Kind::Int, Kind::Float, Kind::Text];
        let mut all = scalars.to_vec();
        all.extend(scalars.map(list));
        all.push(Kind::Json);
        proptest::sample::select(all)
    }

    proptest! {
        #[test]
        fn join_is_a_least_upper_bound(a in any_kind(), b in any_kind(), c in any_kind()) {
            let join = |left: &Kind, right: &Kind| left.clone().join(right.clone());
            prop_assert_eq!(join(&a, &a), a.clone());
            prop_assert_eq!(join(&a, &b), join(&b, &a));
            prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
            prop_assert_eq!(join(&join(&a, &b), &a), join(&a, &b));
        }
    }
}
