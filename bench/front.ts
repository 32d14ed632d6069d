// The STREAM front of the tests in a process of its own. The other end of this is front-process.ts.
import { Child } from './child'

export class FrontProcess {
  private constructor(
    private readonly child: Child<never, number>,
    readonly port: number,
  ) {}

  /** In front of the clamd on this loopback port. */
  static async start(clamdPort: number): Promise<FrontProcess> {
    const child = new Child<never, number>('front-process.ts', [String(clamdPort)])
    return new FrontProcess(child, await child.answer())
  }

  get pid(): number {
    return this.child.pid
  }

  async stop(): Promise<void> {
    await this.child.stop()
  }
}
