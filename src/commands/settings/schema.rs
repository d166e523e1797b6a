//! As much of JSON schema as settings use: types, bounds, enumerations.
use serde_json::Value;

/// Says what is wrong with a value, if anything.
pub(super) fn check(schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(kind) = schema.get("type").and_then(Value::as_str)
        && !is_of(kind, value)
    {
        return Err(format!("{value} is not of type '{kind}'"));
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array)
        && !choices.contains(value)
    {
        return Err(format!(
            "{value} is not one of {}",
            Value::from(choices.clone())
        ));
    }
    let Some(number) = value.as_f64() else {
        return Ok(());
    };
    match (bound(schema, "minimum"), bound(schema, "maximum")) {
        (Some(min), _) if number < min => Err(format!("{value} is less than the minimum of {min}")),
        (_, Some(max)) if number > max => {
            Err(format!("{value} is greater than the maximum of {max}"))
        }
        _ => Ok(()),
    }
}

fn bound(schema: &Value, name: &str) -> Option<f64> {
    schema.get(name).and_then(Value::as_f64)
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    //! Values against the schemas that settings have.
    use serde_json::json;

    use super::*;

    #[test]
    fn values_must_fit() {
        let bounded = json!({"type": "number", "minimum": 1, "maximum": 1000});
        let level = json!({"type": "string", "enum": ["INFO", "ERROR"]});
        for (schema, value, is_good) in [
            (&bounded, json!(1), true),
            (&bounded, json!(20.5), true),
            (&bounded, json!(0), false),
            (&bounded, json!(1001), false),
            (&bounded, json!("20"), false),
            (&level, json!("INFO"), true),
            (&level, json!("LOUD"), false),
            (&json!({"type": "integer"}), json!(1.5), false),
            (&json!({"type": "boolean"}), json!(true), true),
        ] {
            assert_eq!(check(schema, &value).is_ok(), is_good, "{schema} {value}");
        }
    }
}
