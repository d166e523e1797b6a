//! From a parsed plan to a deployment: inputs, instances, scaling and modification.
