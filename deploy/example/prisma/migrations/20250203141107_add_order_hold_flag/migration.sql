-- AlterTable
ALTER TABLE "orders" ADD COLUMN     "hold_reason" TEXT,
ADD COLUMN     "on_hold" BOOLEAN NOT NULL DEFAULT false;

-- "On hold" becomes a flag of its own; no order uses the old status after this,
-- so the next migration can drop it from the enum without losing anything.
UPDATE "orders"
SET "on_hold" = true, "hold_reason" = 'status was ON_HOLD', "status" = 'PENDING'
WHERE "status" = 'ON_HOLD';
