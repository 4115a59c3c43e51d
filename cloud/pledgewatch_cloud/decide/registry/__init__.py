"""A registry that several banks share: who claims goods, by marks that only its members can make."""
