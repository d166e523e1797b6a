//! The context of an operation that is run here: its own instance and node.
use serde_json::{Map, Value};

use super::{Context, ContextError, Side};

impl Context {
    /// The runtime properties of the operation's own instance; what is changed of them is written
    /// by [`Context::store`].
    pub(in crate::worker) async fn own_runtime(
        &mut self,
    ) -> Result<&mut Map<String, Value>, ContextError> {
        Ok(&mut self.instance(Side::Own).await?.properties)
    }

    /// A property of the operation's own node.
    pub(in crate::worker) async fn own_property(
        &mut self,
        name: &str,
    ) -> Result<Option<Value>, ContextError> {
        let node = self.node(Side::Own).await?;
        Ok(node
            .get("properties")
            .and_then(|properties| properties.get(name))
            .cloned())
    }
}
