//! How a request proves who sends it.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use mainstay_provider_core::{Error, ErrorKind};
use secrecy::{ExposeSecret, SecretString};

use crate::transport::Route;

#[cfg(feature = "bedrock")]
pub(crate) mod sigv4;

/// How a request proves who sends it.
#[derive(Debug, Clone)]
pub(crate) enum Auth {
    /// `authorization: Bearer KEY`.
    Bearer,
    /// The key alone in this header.
    Header(&'static str),
    /// AWS Signature Version 4; the key is the secret access key.
    #[cfg(feature = "bedrock")]
    SigV4 { access_key_id: String, session_token: Option<SecretString>, region: String },
}

/// What is signed.
pub(crate) struct Unsigned<'a> {
    pub(crate) route: &'a Route,
    pub(crate) path: &'a str,
    pub(crate) body: &'a [u8],
}

impl Auth {
    /// Adds what proves the key and is the same for all requests. Without a key nothing is added: a local server may
    /// need none.
    pub(crate) fn prove(&self, headers: &mut HeaderMap, key: &SecretString) -> Result<(), Error> {
        match self {
            Auth::Bearer => {
                let proof = secret_header(&format!("Bearer {}", key.expose_secret()))?;
                headers.insert(header::AUTHORIZATION, proof);
            }
            Auth::Header(name) => {
                headers.insert(HeaderName::from_static(name), secret_header(key.expose_secret())?);
            }
            #[cfg(feature = "bedrock")]
            Auth::SigV4 { .. } => {} // each request has its own
        }
        Ok(())
    }

    /// Adds what signs one request.
    pub(crate) fn sign(
        &self,
        #[cfg_attr(not(feature = "bedrock"), allow(unused_variables))] headers: &mut HeaderMap,
        #[cfg_attr(not(feature = "bedrock"), allow(unused_variables))] key: &SecretString,
        #[cfg_attr(not(feature = "bedrock"), allow(unused_variables))] request: &Unsigned<'_>,
    ) -> Result<(), Error> {
        match self {
            Auth::Bearer | Auth::Header(_) => Ok(()),
            #[cfg(feature = "bedrock")]
            Auth::SigV4 { access_key_id, session_token, region } => {
                let credentials = sigv4::AwsCredentials {
                    access_key_id: access_key_id.clone(),
                    secret_access_key: key.clone(),
                    session_token: session_token.clone(),
                };
                let (url, now) = (request.route.url(request.path), crate::clock::wall_clock());
                sigv4::sign(&http::Method::POST, &url, headers, request.body, &credentials, region, now)
            }
        }
    }
}

fn secret_header(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(text.trim()).map_err(|_| {
        let message = "the key holds characters that no key has; check it for line breaks and quotes";
        Error::new(ErrorKind::Configuration, message)
    })?;
    value.set_sensitive(true);
    Ok(value)
}
