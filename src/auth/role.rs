//! Roles, and sets of them.

/// A role. System roles hold everywhere, tenant roles in one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Manages the manager.
    SysAdmin,
    /// Manages a tenant.
    Manager,
    /// Uses everything in a tenant.
    User,
    /// Deploys and runs, but keeps no blueprints.
    Operations,
    /// Only looks.
    Viewer,
    /// Exists, and may do next to nothing.
    Default,
}

impl Role {
    /// All roles, in the order clients list them.
    pub const ALL: [Self; 6] = [
        Self::SysAdmin,
        Self::Manager,
        Self::User,
        Self::Operations,
        Self::Viewer,
        Self::Default,
    ];

    /// Its name on the wire.
    pub fn wire(self) -> &'static str {
        match self {
            Self::SysAdmin => "sys_admin",
            Self::Manager => "manager",
            Self::User => "user",
            Self::Operations => "operations",
            Self::Viewer => "viewer",
            Self::Default => "default",
        }
    }

    /// The role of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.wire() == name)
    }

    /// Whether it is given to users as such, not within a tenant.
    pub fn is_system(self) -> bool {
        matches!(self, Self::SysAdmin | Self::Default)
    }

    /// Shown beside it.
    pub fn description(self) -> &'static str {
        match self {
            Self::SysAdmin => "User that can manage Cloudify",
            Self::Manager => "User that can manage tenants",
            Self::User => "Regular user, can perform actions on tenants resources",
            Self::Operations => {
                "User that can deploy and execute workflows, but cannot manage blueprints or plugins."
            }
            Self::Viewer => "User that can only view tenant resources",
            Self::Default => "User exists, but have no permissions",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoleSet(u8);

impl RoleSet {
    /// The set of one.
    pub const fn one(role: Role) -> Self {
        Self(role.bit())
    }

    /// By initials: `A`dmin, `M`anager, `U`ser, `O`perations, `V`iewer, `D`efault.
    pub(super) const fn of(initials: &str) -> Self {
        let letters = initials.as_bytes();
        let mut bits = 0;
        let mut i = 0;
        while i < letters.len() {
            bits |= match letters[i] {
                b'A' => Role::SysAdmin.bit(),
                b'M' => Role::Manager.bit(),
                b'U' => Role::User.bit(),
                b'O' => Role::Operations.bit(),
                b'V' => Role::Viewer.bit(),
                _ => Role::Default.bit(),
            };
            i += 1;
        }
        Self(bits)
    }

    /// With the roles of another set.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without the roles of another set.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it holds a role.
    pub const fn has(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Whether the two share a role.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Its roles, in listing order.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }
}
