//! Constraints on inputs: their definitions and the values they admit.
