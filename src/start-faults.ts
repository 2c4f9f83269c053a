/** Faults of the machine or the settings that stop a start or a command, each as one sentence that says what to do. */
import type { Config } from './config.ts';
import { StartupError } from './errors.ts';

type SystemFault = Error & { code?: string; port?: number; address?: string; path?: string };

/** A stack trace only for what is a defect of ours. */
export function explainStartFault(error: unknown, config?: Config): string {
  if (error instanceof StartupError) return error.message;
  if (!(error instanceof Error)) return String(error);
  return explainListening(error, config) ?? explainFile(error) ?? error.stack ?? error.message;
}

function explainListening({ code, port, address }: SystemFault, config?: Config): string | undefined {
  const setting = portSetting(port, config);
  switch (code) {
    case 'EADDRINUSE':
      return `Port ${port} is in use: stop the program that listens there, or set ${setting} to a free port.`;
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
      return `The address ${address} is not one of this machine: set HOST to an address that is.`;
    case 'EACCES':
      return port ? `Port ${port} needs privileges: set ${setting} to one above 1023.` : undefined;
    case 'ENOTFOUND':
      return address ? undefined : 'HOST is not an address of this machine: set it to one.';
    default:
      return undefined;
  }
}

function portSetting(port: number | undefined, config?: Config): string {
  if (port === config?.sandboxPort) return 'SANDBOX_PORT';
  if (port === config?.demoPort) return 'DEMO_PORT';
  if (port === config?.metricsPort) return 'METRICS_PORT';
  return 'PORT';
}

const fileFaults: Record<string, string> = {
  EACCES: 'may not be used by this user: start as its owner, or set DATA_DIR to a folder of your own',
  EPERM: 'may not be used by this user: start as its owner, or set DATA_DIR to a folder of your own',
  EROFS: 'is on a read-only file system: set DATA_DIR to a folder that can be written',
  ENOSPC: 'cannot be written: the disk is full',
  ENOTDIR: 'is not a folder: set DATA_DIR to a folder',
};

function explainFile({ code, path }: SystemFault): string | undefined {
  const what = code && fileFaults[code];
  return what && path ? `${path} ${what}.` : undefined;
}
