//! Calling a function with arguments that axum extracts from the request, for up to sixteen arguments.
//!
//! This is the part that all kinds of handlers have in common. It is private: users meet it as "any
//! axum extractors, in axum's order". What the function returns is of no interest here.

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    response::{IntoResponse, Response},
};

/// A function whose arguments are extractors; `A` is the tuple of them, which tells the arities apart.
pub(crate) trait Function<A, S> {
    /// What the function returns, as it stands: a future is not awaited.
    type Output;

    /// Runs the extractors in order, the last one on the whole request, then the function.
    ///
    /// # Errors
    ///
    /// The response of the first extractor that refuses the request; the function is not called then.
    fn extract_and_call(
        self,
        request: Request,
        state: S,
    ) -> impl Future<Output = Result<Self::Output, Box<Response>>> + Send;
}

// Without arguments there is nothing to infer axum's by-parts-or-whole-request parameter `M` from,
// so this case is separate and has none.
#[diagnostic::do_not_recommend]
impl<F, R, S> Function<(), S> for F
where
    F: FnOnce() -> R + Send,
    S: Send,
{
    type Output = R;

    async fn extract_and_call(self, _: Request, _: S) -> Result<R, Box<Response>> {
        Ok(self())
    }
}

macro_rules! function_of {
    ($($part:ident)* ; $last:ident) => {
        #[diagnostic::do_not_recommend]
        #[allow(non_snake_case, unused_mut, reason = "the type parameters name the arguments")]
        impl<F, R, S, M, $($part,)* $last> Function<(M, $($part,)* $last,), S> for F
        where
            F: FnOnce($($part,)* $last,) -> R + Send,
            S: Send + Sync,
            $($part: FromRequestParts<S> + Send,)*
            $last: FromRequest<S, M> + Send,
        {
            type Output = R;

            async fn extract_and_call(
                self,
                request: Request,
                state: S,
            ) -> Result<R, Box<Response>> {
                let (mut parts, body) = request.into_parts();
                $(
                    let $part = match $part::from_request_parts(&mut parts, &state).await {
                        Ok(value) => value,
                        Err(rejection) => return Err(Box::new(rejection.into_response())),
                    };
                )*
                let request = Request::from_parts(parts, body);
                let $last = match $last::from_request(request, &state).await {
                    Ok(value) => value,
                    Err(rejection) => return Err(Box::new(rejection.into_response())),
                };
                Ok(self($($part,)* $last,))
            }
        }
    };
}

function_of!(; T1);
function_of!(T1; T2);
function_of!(T1 T2; T3);
function_of!(T1 T2 T3; T4);
function_of!(T1 T2 T3 T4; T5);
function_of!(T1 T2 T3 T4 T5; T6);
function_of!(T1 T2 T3 T4 T5 T6; T7);
function_of!(T1 T2 T3 T4 T5 T6 T7; T8);
function_of!(T1 T2 T3 T4 T5 T6 T7 T8; T9);
function_of!(T1 T2 T3 T4 T5 T6 T7 T8 T9; T10);
function_of!(T1 T2 T3 T4 T5 T6 T7 T8 T9 T10; T11);
function_of!(T1 T2 T3 T4 T5 T6 T7 T8 T9 T10 T11; T12);
function_of!(T1 T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 T12; T13);
function_of!(T1 T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 T12 T13; T14);
function_of!(T1 T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 T12 T13 T14; T15);
function_of!(T1 T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 T12 T13 T14 T15; T16);
