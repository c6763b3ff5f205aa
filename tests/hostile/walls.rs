//! What a program forbids itself binds the agent: capabilities, users, filters, namespaces, roots.
