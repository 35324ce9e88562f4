//! Why a connection or a stream has ended.

/**
 * | kind | means | ends the stream |
 * |---|---|---|
 * | `unauthorized` | 401 or 403, also after the token was asked for once more | yes |
 * | `status` | a status that is not taken for a stream | yes, but not 429 and 5xx |
 * | `content-type` | the answer is no event stream | yes |
 * | `limit` | an event is larger than the limit | yes |
 * | `request` | a callback for headers, token or body has failed, or the request cannot be made | no |
 * | `network` | no connection, or it broke | no |
 * | `silent` | nothing came for too long | no |
 * | `failed` | the server has failed in the middle of the stream | no |
 */
export type Kind = "unauthorized" | "status" | "content-type" | "limit" | "request" | "network" | "silent" | "failed";

/** An error of this client. */
export class ClientError extends Error {
  override name = "ClientError";

  constructor(
    readonly kind: Kind,
    message: string,
    /** The status of the answer, if there was one. */
    readonly status?: number,
    /** What the server asks for by `Retry-After`, in milliseconds. */
    readonly retryAfter = 0,
  ) {
    super(message);
  }
}

/** The error of an answer that is not taken for a stream. */
export function refusal({ status, headers }: Response): ClientError {
  const after = headers.get("retry-after") ?? "";
  const ms = /^\d+$/.test(after) ? Number(after) * 1000 : Date.parse(after) - Date.now();
  const kind = status === 401 || status === 403 ? "unauthorized" : "status";
  return new ClientError(kind, `the server answered with status ${status}`, status, ms > 0 ? ms : 0);
}

/** Whether there is no use in asking again. */
export function isFinal({ kind, status = 0 }: ClientError): boolean {
  if (kind === "status") return status !== 429 && status < 500;
  return kind === "unauthorized" || kind === "content-type" || kind === "limit";
}
