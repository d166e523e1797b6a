//! Where URLs of imports are really fetched from.

/// Replacements of prefixes of URLs, tried in order.
#[derive(Debug, Clone)]
pub struct UrlRules {
    pub rules: Vec<(String, String)>,
    /// Whether the URL itself is tried when no replacement had the file.
    pub fallback: bool,
}

impl Default for UrlRules {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            fallback: true,
        }
    }
}

impl UrlRules {
    /// The URLs to try for an import.
    pub(super) fn candidates(&self, url: &str) -> Vec<String> {
        let replaced = self.rules.iter().filter_map(|(prefix, replacement)| {
            url.strip_prefix(prefix.as_str())
                .map(|rest| format!("{replacement}{rest}"))
        });
        let mut candidates: Vec<_> = replaced.collect();
        if self.fallback || candidates.is_empty() {
            candidates.push(url.to_owned());
        }
        candidates
    }
}
