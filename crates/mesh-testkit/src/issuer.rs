//! Issues tokens (JWT) as an identity provider does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize,
};
use serde_json::{Value, json};

/// An issuer with one key.
pub struct Issuer {
    key: EncodingKey,
    key_id: Option<String>,
    /// Of Ed25519, which no library derives.
    public: Vec<u8>,
    /// What its tokens are signed with.
    pub algorithm: Algorithm,
}

impl Issuer {
    /// With a new key for this algorithm, called `key-1`.
    ///
    /// # Panics
    /// When the key cannot be made.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        let pair = |algorithm| KeyPair::generate_for(algorithm).expect("a key pair");
        let mut public = Vec::new();
        let key = match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => EncodingKey::from_secret(&[7; 64]),
            Algorithm::ES256 => EncodingKey::from_ec_der(&pair(&PKCS_ECDSA_P256_SHA256).serialize_der()),
            Algorithm::ES384 => EncodingKey::from_ec_der(&pair(&PKCS_ECDSA_P384_SHA384).serialize_der()),
            Algorithm::EdDSA => {
                let pair = pair(&PKCS_ED25519);
                public = pair.public_key_raw().to_vec();
                EncodingKey::from_ed_der(&pair.serialize_der())
            }
            _ => {
                let pair =
                    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key pair");
                EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).expect("a key of its own")
            }
        };
        Self {
            key,
            key_id: Some("key-1".to_owned()),
            public,
            algorithm,
        }
    }

    /// The same with another name for its key, or none.
    #[must_use]
    pub fn named(mut self, key_id: Option<&str>) -> Self {
        self.key_id = key_id.map(str::to_owned);
        self
    }

    /// A token that says this.
    ///
    /// # Panics
    /// When it cannot be signed.
    #[must_use]
    pub fn token(&self, claims: &Value) -> String {
        let header = Header {
            kid: self.key_id.clone(),
            ..Header::new(self.algorithm)
        };
        jsonwebtoken::encode(&header, claims, &self.key).expect("a token")
    }

    /// Its key as others may know it.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn key(&self) -> Value {
        if self.algorithm == Algorithm::EdDSA {
            let x = URL_SAFE_NO_PAD.encode(&self.public);
            return json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": x, "kid": self.key_id});
        }
        let mut key = Jwk::from_encoding_key(&self.key, self.algorithm).expect("a key");
        key.common.key_id.clone_from(&self.key_id);
        serde_json::to_value(key).expect("JSON")
    }

    /// The set of its keys.
    #[must_use]
    pub fn keys(&self) -> String {
        json!({ "keys": [self.key()] }).to_string()
    }
}
