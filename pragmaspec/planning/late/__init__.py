"""Values that only a site can choose: unknown in plans, and known once the site has answered. Pure."""
