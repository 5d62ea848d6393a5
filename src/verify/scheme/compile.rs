//! Compiler from the settings of a scheme to the scheme, by family.

use super::Scheme;
use super::adyen::Adyen;
use super::client_cert::ClientCert;
use super::credentials::{Basic, Bearer};
use super::jwt;
use super::message_signature;
use super::none::NoScheme;
use super::signature::{self, kind::Kind};
use super::token::TokenScheme;
use crate::base::diagnostic::Diagnostics;
use crate::verify::context::SchemeContext;
use crate::verify::parts::settings::Settings;

/// Compiles the settings of a scheme of this family. Reports all errors.
pub fn compile(
    family: &str,
    settings: &Settings<'_>,
    context: &SchemeContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Scheme>> {
    fn boxed<S: Scheme + 'static>(scheme: Option<S>) -> Option<Box<dyn Scheme>> {
        scheme.map(|scheme| Box::new(scheme) as Box<dyn Scheme>)
    }
    if let Some(kind) = Kind::named(family) {
        return boxed(signature::compile::compile(kind, settings, context, diagnostics));
    }
    match family {
        "token" => boxed(TokenScheme::compile(settings, context, diagnostics)),
        "basic" => boxed(Basic::compile(settings, context, diagnostics)),
        "bearer" => boxed(Bearer::compile(settings, context, diagnostics)),
        "jwt" => boxed(jwt::settings::compile(settings, context, diagnostics)),
        "http_message_signatures" => boxed(message_signature::settings::compile(
            settings,
            context,
            diagnostics,
        )),
        "client_cert" => boxed(ClientCert::compile(settings, context, diagnostics)),
        "adyen" => boxed(Adyen::compile(settings, context, diagnostics)),
        "none" => boxed(NoScheme::compile(settings, context, diagnostics)),
        _ => None,
    }
}
