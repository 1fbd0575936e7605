//! The certificate authority: root, tokens, node authorizer, issuer.
