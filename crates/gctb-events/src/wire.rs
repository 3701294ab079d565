//! The generated protobuf types. Nothing outside this crate sees them.

#![expect(unreachable_pub, reason = "generated from proto/gctb/v1/events.proto, which documents them")]

include!(concat!(env!("OUT_DIR"), "/gctb.v1.rs"));
