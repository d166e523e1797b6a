//! The context of an operation that is run here: instances and nodes of its subjects.
use serde_json::{Map, Value};

use super::{Context, ContextError, Side};

impl Context {
    /// The runtime properties of one of the operation's instances; what is changed of them is
    /// written by [`Context::store`].
    pub(in crate::worker) async fn runtime_of(
        &mut self,
        side: Side,
    ) -> Result<&mut Map<String, Value>, ContextError> {
        Ok(&mut self.instance(side).await?.properties)
    }

    /// A property of the node of one of the operation's instances.
    pub(in crate::worker) async fn property_of(
        &mut self,
        side: Side,
        name: &str,
    ) -> Result<Option<Value>, ContextError> {
        let node = self.node(side).await?;
        Ok(node
            .get("properties")
            .and_then(|properties| properties.get(name))
            .cloned())
    }

    /// Id of one of the operation's instances; empty where it has none of that kind.
    pub(in crate::worker) fn instance_id(&self, side: Side) -> &str {
        let subject = self.subjects.get(&side);
        subject.map_or("", |subject| subject.instance_id.as_str())
    }
}
