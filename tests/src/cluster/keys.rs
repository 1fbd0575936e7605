//! The keys of a cluster: an authority, a certificate for each part, and the key that signs service accounts' tokens.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize, SanType,
};
use serde_json::json;

/// The folder of keys, and the authority that signs more of them.
#[derive(Debug)]
pub struct Keys {
    dir: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
    api: String,
}

impl Keys {
    /// An authority, and the key for tokens. `api` is the API server's URL.
    ///
    /// # Errors
    /// Fails when a file cannot be written.
    pub fn create(dir: &Path, api: &str) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let mut parameters = CertificateParams::default();
        parameters
            .distinguished_name
            .push(DnType::CommonName, "cluster-ca");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let key_pem = key.serialize_pem();
        let authority = CertifiedIssuer::self_signed(parameters, key)?;
        let keys = Self {
            dir: dir.to_owned(),
            authority,
            api: api.to_owned(),
        };
        keys.write("ca.crt", &keys.authority.pem())?;
        keys.write("ca.key", &key_pem)?;
        // As clusters have it: most are set up with RSA for tokens.
        let tokens = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
        keys.write("sa.key", &tokens.serialize_pem())?;
        keys.write("sa.pub", &tokens.public_key_pem())?;
        Ok(keys)
    }

    /// A certificate for one part: who it is, in which group, and under which names and addresses it serves.
    ///
    /// # Errors
    /// Fails when a file cannot be written.
    pub fn issue(
        &self,
        file: &str,
        name: &str,
        group: Option<&str>,
        names: &[&str],
        addresses: &[IpAddr],
    ) -> Result<()> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            parameters
                .distinguished_name
                .push(DnType::OrganizationName, group);
        }
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let names = names.iter().map(|name| Ok(SanType::DnsName((*name).try_into()?)));
        parameters.subject_alt_names = names.collect::<Result<_>>()?;
        parameters
            .subject_alt_names
            .extend(addresses.iter().copied().map(SanType::IpAddress));
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.authority)?;
        self.write(&format!("{file}.crt"), &certificate.pem())?;
        self.write(&format!("{file}.key"), &key.serialize_pem())
    }

    /// A client's configuration with the certificate that was issued under this name.
    ///
    /// # Errors
    /// Fails when a file cannot be written.
    pub fn kubeconfig(&self, file: &str) -> Result<PathBuf> {
        let certificate = self.path(&format!("{file}.crt"));
        let key = self.path(&format!("{file}.key"));
        // YAML contains JSON.
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": {"server": self.api, "certificate-authority": self.path("ca.crt")}}],
            "users": [{"name": "user", "user": {"client-certificate": certificate, "client-key": key}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "user"}}],
            "current-context": "lab",
        });
        self.write(&format!("{file}.kubeconfig"), &config.to_string())?;
        Ok(self.path(&format!("{file}.kubeconfig")))
    }

    /// A file of the folder.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        fs::write(self.path(file), text).with_context(|| file.to_owned())
    }
}
