//! A part that has lost the control plane alone: rules for `nft`, in the network of that part.

/// Nothing passes between it and the control plane any more. What is under way ends when the part says something next.
pub const CUT_OFF: &str = "add table inet cut; \
                           add chain inet cut in { type filter hook input priority 0; }; \
                           add rule inet cut in tcp sport 15012 drop; \
                           add chain inet cut out { type filter hook output priority 0; }; \
                           add rule inet cut out tcp dport 15012 reject with tcp reset";
/// And again it does.
pub const MENDED: &str = "delete table inet cut";
