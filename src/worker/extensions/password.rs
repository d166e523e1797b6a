//! Passwords that are made up here and kept as secrets.
use rand::{Rng, seq::SliceRandom};
use serde_json::{Value, json};

use super::{Failure, Run, definite};

/// Shortest password.
const LENGTH_MIN: usize = 6;
/// Kinds of characters, by the property that says how many of them there must be at least; -1
/// excludes a kind.
const KINDS: [(&str, &str); 4] = [
    ("uppercase", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    ("lowercase", "abcdefghijklmnopqrstuvwxyz"),
    ("digits", "0123456789"),
    ("symbols", " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
];

/// What a password is made of.
#[derive(Debug)]
struct Recipe {
    length: usize,
    /// Characters, and how many of them at least.
    kinds: Vec<(Vec<char>, usize)>,
}

impl Recipe {
    fn password(&self, rng: &mut impl Rng) -> String {
        let mut pick = |from: &[char]| {
            let at = rng.random_range(0..from.len().max(1));
            from.get(at).copied()
        };
        let mut characters: Vec<char> = Vec::with_capacity(self.length);
        for (kind, count) in &self.kinds {
            characters.extend((0..*count).filter_map(|_| pick(kind)));
        }
        let all: Vec<char> = self
            .kinds
            .iter()
            .flat_map(|(kind, _)| kind.clone())
            .collect();
        while characters.len() < self.length {
            characters.extend(pick(&all));
        }
        characters.shuffle(rng);
        characters.into_iter().collect()
    }
}

impl Run<'_> {
    async fn recipe(&mut self) -> Result<Recipe, Failure> {
        let length = self.given("length").await?.as_u64().unwrap_or_default();
        let length = usize::try_from(length).unwrap_or_default();
        if length < LENGTH_MIN {
            return definite(format!("a password has at least {LENGTH_MIN} characters"));
        }
        let mut kinds = Vec::new();
        for (name, characters) in KINDS {
            let count = self.given(name).await?.as_i64().unwrap_or_default();
            // excluded where it is negative
            if let Ok(count) = usize::try_from(count) {
                kinds.push((characters.chars().collect(), count));
            }
        }
        let least: usize = kinds.iter().map(|(_, count)| count).sum();
        if kinds.is_empty() || least > length {
            return definite(format!(
                "a password of {length} characters cannot have what is asked for"
            ));
        }
        Ok(Recipe { length, kinds })
    }

    pub(super) async fn check_password(&mut self) -> Result<Value, Failure> {
        self.recipe().await?;
        Ok(Value::Null)
    }

    async fn secret_name(&mut self) -> Result<String, Failure> {
        let given = self.given("secret_name").await?;
        let default = || format!("ps_{}_{}", self.own_deployment(), self.instance_id());
        Ok(given.as_str().map_or_else(default, str::to_owned))
    }

    /// Makes a password up, unless its secret is there and may be used.
    pub(super) async fn make_password(&mut self) -> Result<Value, Failure> {
        let recipe = self.recipe().await?;
        let name = self.secret_name().await?;
        let may_exist = self.given("use_secret_if_exists").await? == Value::Bool(true);
        let is_own = self.runtime().await?.contains_key("secret_name");
        let is_there = match self.job.session.get(&["secrets", &name], &[]).await {
            Ok(_) => true,
            Err(error) if error.is_not_found() => false,
            Err(error) => return Err(error.into()),
        };
        if is_there && !may_exist && !is_own {
            return definite(format!("there is a secret `{name}` already"));
        }
        self.set("secret_name", name.as_str()).await?;
        self.set("password", json!({"get_secret": name})).await?;
        if !is_there {
            self.note().await?;
            let body = json!({"value": recipe.password(&mut rand::rng())});
            self.job.session.put(&["secrets", &name], &body).await?;
        }
        Ok(Value::Null)
    }

    pub(super) async fn delete_password(&mut self) -> Result<Value, Failure> {
        let runtime = self.runtime().await?;
        let name = runtime.shift_remove("secret_name");
        runtime.shift_remove("password");
        if let Some(name) = name.as_ref().and_then(Value::as_str) {
            match self
                .job
                .session
                .delete(&["secrets", name], &Value::Null)
                .await
            {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_what_is_asked_for() {
        let kinds = KINDS.map(|(_, characters)| (characters.chars().collect(), 2));
        let recipe = Recipe {
            length: 12,
            kinds: kinds.into(),
        };
        let password = recipe.password(&mut rand::rng());
        assert_eq!(password.chars().count(), 12);
        for (_, characters) in KINDS {
            let count = password.chars().filter(|c| characters.contains(*c)).count();
            assert!(count >= 2, "{password:?}");
        }
    }
}
