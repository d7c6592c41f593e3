import { connect, Socket } from 'node:net';
import pg from 'pg';
import type { Address, Hosts } from './hosts.ts';

interface WritableClientOptions {
  readonly hosts: Hosts;
  /** For everything from looking the host up to the answer that the server takes changes. */
  readonly timeoutMs: number;
  /** Null: the session keeps the server's own timeout. */
  readonly statementTimeoutMs: number | null;
  /**
   * True: any server will do, also a standby, and the session refuses changes unless the server's
   * pooler gives it to other programs.
   */
  readonly onlyReads: boolean;
}

/**
 * How long the message to stop a statement may take. No answer comes: the server closes the
 * connection.
 */
const STOP_TIMEOUT_MS = 1000;
/** The code of a CancelRequest (PostgreSQL documentation, "Message Formats"). */
const CANCEL_REQUEST_CODE = 80_877_102;

/** The server answers, but takes no changes. */
class ReadOnlyServerError extends Error {
  constructor(isStandby: boolean) {
    super(
      isStandby
        ? 'this is a standby: it takes no changes, and may lag behind; connect to the primary'
        : 'this server is read-only (default_transaction_read_only is on)',
    );
    this.name = 'ReadOnlyServerError';
  }
}

/**
 * A client that is connected only if its server takes changes, unless it only reads. A standby answers questions, too,
 * but from a state that may lack revocations which the primary has acknowledged.
 */
export class WritableClient extends pg.Client {
  readonly #options: WritableClientOptions;
  readonly #socket: Socket;
  #address: Address | null = null;

  constructor(config: pg.ClientConfig, options: WritableClientOptions) {
    // TLS checks the certificate by the host's name, so only the socket knows the address.
    const socket = socketTo(() => this.#address?.ip ?? null);
    super({ ...config, stream: () => socket });
    this.#options = options;
    this.#socket = socket;
    // Without a listener a connection that breaks would end the process.
    this.on('error', () => this.#leave());
  }

  /** @throws {ReadOnlyServerError} besides the driver's errors. */
  override connect(): Promise<pg.Client>;
  override connect(callback: ((error: Error) => void) | ((error: null, client: pg.Client) => void)): void;
  override connect(callback?: (error: never, client: never) => void): unknown {
    const connected = this.#connectInTime();
    if (callback === undefined) return connected;
    // The two forms of callback in the driver's types have no common call.
    const call = (...outcome: readonly unknown[]): void => Reflect.apply(callback, undefined, outcome);
    return connected.then((client) => call(null, client), call);
  }

  /**
   * Asks the server to stop what it does for this connection. It doesn't notice by itself that its
   * client is gone: a COMMIT that waits for a synchronous standby waits on, with all its locks, and
   * no timeout of PostgreSQL ends it. Resolves when the connection may be closed: a pooler passes
   * the request on only for a client that is still there.
   */
  async stopStatement(): Promise<void> {
    const message = cancelRequest(this);
    if (message === null) return;
    const isSocketFile = this.host.startsWith('/');
    const socket = isSocketFile
      ? connect(`${this.host}/.s.PGSQL.${this.port}`)
      : connect(this.port, this.#address?.ip ?? this.host);
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.unref().setTimeout(STOP_TIMEOUT_MS, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    // The server closes the connection; a pooler drops the request if the client does it first.
    socket.resume().write(message);
    if (this.#options.statementTimeoutMs === null) await closed;
  }

  async #connectInTime(): Promise<pg.Client> {
    const { timeoutMs } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    const overdue = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        this.#socket.destroy();
        reject(new Error(`no connection within ${timeoutMs} ms`));
      }, timeoutMs);
    });
    try {
      return await Promise.race([this.#connect(), overdue]);
    } catch (error) {
      this.#leave();
      this.end().catch(() => undefined);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async #connect(): Promise<pg.Client> {
    const address = await this.#options.hosts.choose();
    if (this.#socket.destroyed) throw new Error('the time to connect is over');
    this.#address = address;
    if (address.name !== '') Object.assign(this, { host: address.name, port: address.port });
    await super.connect();
    await this.#checkServer();
    return this;
  }

  /** One round trip: sets the timeout of statements, and asks whether the server takes changes. */
  async #checkServer(): Promise<void> {
    const { statementTimeoutMs, onlyReads } = this.#options;
    // A start-up parameter would be simpler, but poolers refuse it.
    const timeout =
      statementTimeoutMs === null ? '' : `set_config('statement_timeout', '${statementTimeoutMs}', false), `;
    if (onlyReads) {
      const readOnly =
        statementTimeoutMs === null ? '' : `set_config('default_transaction_read_only', 'on', false), `;
      await this.query(`SELECT ${timeout}${readOnly}true`);
      return;
    }
    const { rows } = await this.query<{ is_standby: boolean; is_read_only: boolean }>(
      `SELECT ${timeout}pg_is_in_recovery() AS is_standby, current_setting('transaction_read_only') = 'on' AS is_read_only`,
    );
    const [row] = rows;
    if (row?.is_read_only !== false || row.is_standby)
      throw new ReadOnlyServerError(row?.is_standby === true);
  }

  #leave(): void {
    if (this.#address !== null) this.#options.hosts.leave(this.#address);
  }
}

/** Null before the server has sent its process id; the driver's types lack both numbers. */
function cancelRequest(client: object): Buffer | null {
  if (!('processID' in client) || !('secretKey' in client)) return null;
  const { processID, secretKey } = client;
  if (typeof processID !== 'number' || typeof secretKey !== 'number') return null;
  const message = Buffer.alloc(16);
  message.writeInt32BE(message.length, 0);
  message.writeInt32BE(CANCEL_REQUEST_CODE, 4);
  message.writeInt32BE(processID, 8);
  message.writeInt32BE(secretKey, 12);
  return message;
}

/** A socket that connects to the address at that moment in place of the host. */
function socketTo(address: () => string | null): Socket {
  const socket = new Socket();
  const connectTo = socket.connect.bind(socket);
  const override = (portOrPath: number | string, host: string): Socket =>
    typeof portOrPath === 'string' ? connectTo(portOrPath) : connectTo(portOrPath, address() ?? host);
  return Object.assign(socket, { connect: override });
}
