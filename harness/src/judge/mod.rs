//! Observation against observation gives a verdict.
