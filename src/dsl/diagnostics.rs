//! What is wrong with a blueprint, where, and what was expected: the errors of the whole language.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The exception a client of the reference sees; its name is part of the wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exception {
    Parsing,
    Logic,
    Format,
    InputType,
    ElementMatch,
    MissingRequiredInput,
    UnknownInput,
    InputEvaluation,
    Constraint,
    FunctionEvaluation,
    FunctionValidation,
    UnknownSecret,
    UnsupportedGetSecret,
    EvaluationRecursionLimitReached,
    UnknownSysEntity,
    UnknownSysProperty,
    IllegalConnectedToConnectionType,
    UnsupportedRelationship,
    IllegalAllToOneState,
    UnsupportedAllToOneInGroup,
    /// The reference fails here with an uncontrolled exception of this name.
    Uncontrolled(&'static str),
}

/// How a failure is reported: an invalid blueprint, a failed evaluation, or something uncontrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    Dsl,
    Runtime,
    Python,
}

impl Exception {
    pub fn name(self) -> &'static str {
        match self {
            Self::Parsing => "DSLParsingException",
            Self::Logic => "DSLParsingLogicException",
            Self::Format => "DSLParsingFormatException",
            Self::InputType => "DSLParsingInputTypeException",
            Self::ElementMatch => "DSLParsingElementMatchException",
            Self::MissingRequiredInput => "MissingRequiredInputError",
            Self::UnknownInput => "UnknownInputError",
            Self::InputEvaluation => "InputEvaluationError",
            Self::Constraint => "ConstraintException",
            Self::FunctionEvaluation => "FunctionEvaluationError",
            Self::FunctionValidation => "FunctionValidationError",
            Self::UnknownSecret => "UnknownSecretError",
            Self::UnsupportedGetSecret => "UnsupportedGetSecretError",
            Self::EvaluationRecursionLimitReached => "EvaluationRecursionLimitReached",
            Self::UnknownSysEntity => "UnknownSysEntityError",
            Self::UnknownSysProperty => "UnknownSysPropertyError",
            Self::IllegalConnectedToConnectionType => "IllegalConnectedToConnectionType",
            Self::UnsupportedRelationship => "UnsupportedRelationship",
            Self::IllegalAllToOneState => "IllegalAllToOneState",
            Self::UnsupportedAllToOneInGroup => "UnsupportedAllToOneInGroup",
            Self::Uncontrolled(name) => name,
        }
    }

    pub fn category(self) -> Category {
        match self {
            Self::Parsing | Self::Logic | Self::Format | Self::InputType | Self::ElementMatch => {
                Category::Dsl
            }
            Self::Uncontrolled(_) => Category::Python,
            _ => Category::Runtime,
        }
    }
}

impl Serialize for Exception {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A place in a source file. Lines and columns count from one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Location {
    pub file: Arc<str>,
    pub line: u32,
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One step into a document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    Key(Arc<str>),
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.into())
    }
}

impl From<&Arc<str>> for Step {
    fn from(key: &Arc<str>) -> Self {
        Self::Key(Arc::clone(key))
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// The way into a document, written `node_templates.web.relationships[0].target`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Path(pub Vec<Step>);

impl Path {
    /// The path one step further down.
    #[must_use]
    pub fn then(&self, step: impl Into<Step>) -> Self {
        let mut steps = self.0.clone();
        steps.push(step.into());
        Self(steps)
    }
}

impl<'a, const N: usize> From<[&'a str; N]> for Path {
    fn from(keys: [&'a str; N]) -> Self {
        Self(keys.into_iter().map(Step::from).collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    #[serde(rename = "class")]
    pub exception: Exception,
    pub err_code: Option<i32>,
    pub message: String,
    /// Unknown for values that come from no file, such as deployment inputs.
    pub location: Option<Location>,
    /// Where in the merged document, as far as known.
    pub path: Path,
    pub expected: Option<String>,
    /// A known name close to the one written.
    pub suggestion: Option<String>,
}

impl Diagnostic {
    pub fn new(exception: Exception, err_code: impl Into<Option<i32>>, message: String) -> Self {
        Self {
            exception,
            err_code: err_code.into(),
            message,
            location: None,
            path: Path::default(),
            expected: None,
            suggestion: None,
        }
    }

    #[must_use]
    pub fn at(mut self, location: Option<Location>) -> Self {
        self.location = location;
        self
    }

    #[must_use]
    pub fn path(mut self, path: Path) -> Self {
        self.path = path;
        self
    }

    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Suggests the known name closest to the one written, when one is close enough to be meant.
    #[must_use]
    pub fn did_you_mean<'a>(
        mut self,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        self.suggestion = closest(name, known);
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        f.write_str(&self.message)?;
        if !self.path.0.is_empty() {
            write!(f, " (in {})", self.path)?;
        }
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; did you mean '{suggestion}'?")?;
        }
        Ok(())
    }
}

/// Everything one stage found wrong, the error the reference would have raised first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DslError {
    /// Never empty.
    diagnostics: Vec<Diagnostic>,
}

impl DslError {
    pub fn new(exception: Exception, err_code: impl Into<Option<i32>>, message: String) -> Self {
        Diagnostic::new(exception, err_code, message).into()
    }

    /// All that was collected; nothing when it is nothing.
    pub fn from_all(diagnostics: Vec<Diagnostic>) -> Option<Self> {
        (!diagnostics.is_empty()).then_some(Self { diagnostics })
    }

    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.diagnostics
    }

    pub fn first(&self) -> &Diagnostic {
        self.diagnostics
            .first()
            .expect("an error holds at least one diagnostic")
    }

    pub fn exception(&self) -> Exception {
        self.first().exception
    }

    pub fn err_code(&self) -> Option<i32> {
        self.first().err_code
    }

    pub fn category(&self) -> Category {
        self.exception().category()
    }
}

impl From<Diagnostic> for DslError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            diagnostics: vec![diagnostic],
        }
    }
}

impl fmt::Display for DslError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, diagnostic) in self.diagnostics.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for DslError {}

/// The known name closest to `name`, if it is close enough to be a slip.
pub fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .filter(|candidate| *candidate != name)
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(score, _)| *score > 0.85)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate.to_owned())
}
