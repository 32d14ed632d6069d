// Some slowed clamds in a process of their own. The other end of this is slow-clamds-process.ts.
import { Child } from './child'

export class SlowClamds {
  private constructor(
    private readonly child: Child<never, number[]>,
    readonly ports: readonly number[],
  ) {}

  /** So many on ports of their own, each taking `scanMs` for a scan and doing one at a time. */
  static async start(clamdPort: number, count: number, scanMs: number): Promise<SlowClamds> {
    const args = [clamdPort, count, scanMs].map(String)
    const child = new Child<never, number[]>('slow-clamds-process.ts', args)
    return new SlowClamds(child, await child.answer())
  }

  async stop(): Promise<void> {
    await this.child.stop()
  }
}
