//! Versions of plugins, and the specifiers imports choose by, as Python packages write them.

use std::cmp::Ordering;
use std::sync::LazyLock;

use regex::Regex;

static VERSION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?ix)^v?(?:(\d+)!)?(\d+(?:\.\d+)*)
        (?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?(\d*))?
        (?:-(\d+)|[-_.]?(?:post|rev|r)[-_.]?(\d*))?
        (?:[-_.]?dev[-_.]?(\d*))?
        (?:\+[a-z0-9]+(?:[-_.][a-z0-9]+)*)?$",
    )
    .expect("the pattern is fixed and valid")
});

/// A version; it orders as packages do: 1.0.dev1 < 1.0a1 < 1.0rc1 < 1.0 < 1.0.post1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    epoch: u64,
    release: Vec<u64>,
    /// Before the release: kind and number. A release without is above all of them, a bare dev
    /// below.
    pre: (u8, u64),
    /// After the release; nothing is below zero.
    post: Option<u64>,
    /// In development; a version that is not is above all that are.
    dev: u64,
}

const NOT_PRE: (u8, u64) = (9, 0);

impl Version {
    /// The first number of the release.
    pub(crate) fn major(&self) -> (u64, u64) {
        let first = self.release.first().copied();
        (self.epoch, first.unwrap_or_default())
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let parts = VERSION.captures(text.trim())?;
        let number = |index: usize| -> Option<u64> {
            let digits = parts.get(index)?.as_str();
            if digits.is_empty() {
                Some(0)
            } else {
                digits.parse().ok()
            }
        };
        let mut release: Vec<u64> = parts
            .get(2)?
            .as_str()
            .split('.')
            .map(|part| part.parse().ok())
            .collect::<Option<_>>()?;
        while release.len() > 1 && release.last() == Some(&0) {
            release.pop();
        }
        let dev = parts.get(7).and_then(|_| number(7));
        let post = number(5).or_else(|| number(6));
        let kind = parts.get(3).map(|kind| kind.as_str().to_lowercase());
        let pre = match kind.as_deref() {
            Some("a" | "alpha") => (1, number(4)?),
            Some("b" | "beta") => (2, number(4)?),
            Some(_) => (3, number(4)?),
            None if dev.is_some() && post.is_none() => (0, 0),
            None => NOT_PRE,
        };
        let epoch = number(1).unwrap_or(0);
        Some(Self {
            epoch,
            release,
            pre,
            post,
            dev: dev.unwrap_or(u64::MAX),
        })
    }

    fn starts_with(&self, prefix: &Self, length: usize) -> bool {
        let part = |version: &Self, index: usize| version.release.get(index).copied().unwrap_or(0);
        self.epoch == prefix.epoch
            && (0..length).all(|index| part(self, index) == part(prefix, index))
    }

    fn is_pre_release(&self) -> bool {
        self.pre != NOT_PRE || self.dev != u64::MAX
    }
}

/// Whether a version fits a list of specifiers: `>=1.2,<2`. A bare version means itself, to the
/// letter.
pub(super) fn fits(text: &str, specifiers: &str) -> Result<bool, String> {
    let mut all_fit = true;
    for specifier in specifiers
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        all_fit &= fits_one(text, specifier)?;
    }
    Ok(all_fit)
}

fn fits_one(text: &str, specifier: &str) -> Result<bool, String> {
    let length = specifier
        .find(|char: char| !"=!<>~".contains(char))
        .unwrap_or(specifier.len());
    let (operator, wanted) = specifier.split_at(length);
    let wanted = wanted.trim();
    if matches!(operator, "" | "===") {
        return Ok(text == wanted);
    }
    let bad = || format!("'{specifier}' is no version specifier");
    let Some(version) = Version::parse(text) else {
        return Ok(false);
    };
    if let (Some(prefix), "==" | "!=") = (wanted.strip_suffix(".*"), operator) {
        let wanted = Version::parse(prefix).ok_or_else(bad)?;
        let matches = version.starts_with(&wanted, prefix.split('.').count());
        return Ok(matches == (operator == "=="));
    }
    let parsed = Version::parse(wanted).ok_or_else(bad)?;
    let order = version.cmp(&parsed);
    Ok(match operator {
        "==" => order == Ordering::Equal,
        "!=" => order != Ordering::Equal,
        ">=" => order != Ordering::Less,
        "<=" => order != Ordering::Greater,
        ">" => {
            order == Ordering::Greater
                && !(version.post > parsed.post && version.release == parsed.release)
        }
        "<" => {
            order == Ordering::Less
                && !(version.is_pre_release()
                    && !parsed.is_pre_release()
                    && version.release == parsed.release)
        }
        "~=" => {
            let parts = wanted.split('.').count();
            if parts < 2 {
                return Err(bad());
            }
            order != Ordering::Less && version.starts_with(&parsed, parts - 1)
        }
        _ => return Err(bad()),
    })
}
