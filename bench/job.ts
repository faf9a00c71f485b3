/** What a child process is asked to do; it comes as JSON on its command line. */
export interface BenchJob {
  /** Environment variables of the program's settings: brokers, topics, directories. */
  readonly settings: Readonly<Record<string, string>>;
  readonly mutationTopic: string;
  /** `host:port` of the fake Pub/Sub. */
  readonly pubsubHost: string;
  readonly projectId: string;
  /** In the settings' CREDENTIALS_DIRECTORY. */
  readonly credentialsFile: string;
  /** One Pub/Sub topic per replication. */
  readonly pubsubTopics: readonly string[];
  /** Read first, and not measured: what compiles the code and fills the pools. */
  readonly warmUp: BenchPass;
  /** Read one after another, each measured. */
  readonly passes: readonly BenchPass[];
  /** Where the CPU profile of the measured passes goes; null for none. */
  readonly profileFile: string | null;
}

/** One reading of the mutation topic by a consumer group of its own, until everything is delivered. */
export interface BenchPass {
  readonly groupId: string;
  readonly records: number;
  /** Beside the job's, and before them. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** What a child process measured; it goes to its standard output as one line of JSON. */
export interface BenchReport {
  readonly records: number;
  /** User and system, of all threads, from the join of the group until the last delivery. */
  readonly cpuMicros: number;
  /** The part of it that the main thread used: the rest is V8's compiler and garbage collector. */
  readonly mainThreadCpuMicros: number;
  readonly wallMs: number;
  readonly majorGcs: number;
  /** Of the whole process, warm-up included. */
  readonly peakRssBytes: number;
}
